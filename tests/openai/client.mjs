// SPDX-License-Identifier: Apache-2.0
// OpenAI's own client against `fastvlm serve`: node client.mjs ADDRESS PICTURE
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import OpenAI from 'openai';

const [address, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${address}v1`, apiKey: 'any', maxRetries: 0 });
const url = `data:image/jpeg;base64,${readFileSync(picture).toString('base64')}`;
const image = { type: 'image_url', image_url: { url } };
const ask = (question) => [{ role: 'user', content: question ? [{ type: 'text', text: question }, image] : [image] }];

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, ['demo']);

const whole = await client.chat.completions.create({ model: 'demo', messages: ask() });
const caption = whole.choices[0].message.content;
assert.match(caption, /^1\. Main Focus – .+/);
assert.match(caption, /\n7\. /);
assert.equal(whole.choices[0].finish_reason, 'stop');
assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens);

const stream = await client.chat.completions.create({
  model: 'demo', messages: ask(), stream: true, stream_options: { include_usage: true },
});
let text = '', pieces = 0, usage = null, reason = null;
for await (const chunk of stream) {
  const piece = chunk.choices[0]?.delta?.content;
  if (piece) { text += piece; ++pieces; }
  reason = chunk.choices[0]?.finish_reason ?? reason;
  usage = chunk.usage ?? usage;
}
assert.equal(text, caption, 'in pieces it is the same caption');
assert.ok(pieces > 3, `${pieces} pieces`);
assert.equal(reason, 'stop');
assert.equal(usage.completion_tokens, whole.usage.completion_tokens);

// The helper for streams puts the pieces together itself.
const helped = client.chat.completions.stream({ model: 'demo', messages: ask() });
assert.equal((await helped.finalChatCompletion()).choices[0].message.content, caption);

const schema = {
  type: 'object', additionalProperties: false, required: ['indoors', 'count'],
  properties: { indoors: { type: 'boolean' }, count: { enum: ['one', 'several'] } },
};
const shaped = await client.chat.completions.create({
  model: 'demo', messages: ask('Describe the image.'),
  response_format: { type: 'json_schema', json_schema: { name: 'facts', strict: true, schema } },
});
const facts = JSON.parse(shaped.choices[0].message.content);
assert.deepEqual(Object.keys(facts).sort(), ['count', 'indoors']);
assert.equal(typeof facts.indoors, 'boolean');

const sections = await client.chat.completions.create({
  model: 'demo', messages: ask(), response_format: { type: 'json_object' },
});
assert.equal(Object.keys(JSON.parse(sections.choices[0].message.content)).length, 7);

const short = await client.chat.completions.create({
  model: 'demo', messages: ask('Describe the image.'), max_completion_tokens: 2, temperature: 0.5, seed: 7,
});
assert.equal(short.choices[0].finish_reason, 'length');
assert.equal(short.usage.completion_tokens, 2);

// What cannot be done is the client's own kind of error.
await assert.rejects(client.chat.completions.create({ model: 'demo', messages: ask(), n: 2 }),
  (error) => error instanceof OpenAI.BadRequestError && error.param === 'n');
await assert.rejects(client.models.retrieve('gpt-4'), OpenAI.NotFoundError);
await assert.rejects(client.chat.completions.create({
  model: 'demo', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://example.org/a.jpg' } }] }],
}), OpenAI.BadRequestError);

// A client that stops listening ends its answer.
const left = await client.chat.completions.create({ model: 'demo', messages: ask(), stream: true });
for await (const chunk of left) {
  if (chunk.choices[0]?.delta?.content) break;
}
console.log(`openai ${JSON.parse(readFileSync('node_modules/openai/package.json')).version}: all answers as expected`);
