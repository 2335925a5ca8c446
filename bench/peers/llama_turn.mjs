// SPDX-License-Identifier: Apache-2.0
// Runs a GGUF model with llama.cpp through node-llama-cpp and prints {"prompt", "answer"}, each a
// list of seconds, as JSON:
//   node llama_turn.mjs MODULES '{"model", "prompt", "answer", "threads", "repetitions"}'
// MODULES is the folder of node_modules; prompt and answer are numbers of tokens. The prompt's time
// ends with its first answered token (head and greedy choice), as that of fastvlm bench; the
// answer's is that of the tokens after it.
const [modules, text] = process.argv.slice(2);
const {getLlama, LlamaLogLevel} = await import(modules + '/node-llama-cpp/dist/index.js');
const {model: modelPath, prompt, answer, threads, repetitions} = JSON.parse(text);

const llama = await getLlama({gpu: false, build: 'never', logLevel: LlamaLogLevel.error});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const room = Math.max(512, Math.ceil((prompt + answer + 1) / 256) * 256);
const context = await model.createContext(
    {contextSize: room, batchSize: room, threads: {ideal: threads, min: threads}, flashAttention: true});
const sequence = context.getSequence();
const ids = Array.from({length: prompt}, (_, i) => (i * 7919) % 151000);

const seconds = {prompt: [], answer: []};
for (let i = -1; i < repetitions; ++i) {  // the first one warms up
  await sequence.clearHistory();
  const tokens = sequence.evaluate(ids, {temperature: 0, yieldEogToken: true});
  const start = process.hrtime.bigint();
  await tokens.next();
  const middle = process.hrtime.bigint();
  for (let n = 0; n < answer; ++n) await tokens.next();
  const end = process.hrtime.bigint();
  await tokens.return();
  if (i < 0) continue;
  seconds.prompt.push(Number(middle - start) * 1e-9);
  seconds.answer.push(Number(end - middle) * 1e-9);
}
console.log(JSON.stringify(seconds));
process.exit(0);
