// SPDX-License-Identifier: Apache-2.0
// Runs a model with ONNX Runtime and prints {"version", "seconds"} as JSON:
//   node onnx_turn.mjs MODULES '{"model", "shape", "threads", "repetitions"}'
// MODULES is the folder of node_modules. The input is noise in 0..1, or the floats of the file
// "input"; with "output" the outputs of the last run are written to that file, one after another.
import fs from 'node:fs';
import {createRequire} from 'node:module';

const [modules, text] = process.argv.slice(2);
const ort = createRequire(modules + '/')('onnxruntime-node');
const {model, shape, threads, repetitions, input, output} = JSON.parse(text);

function noise(count) {
  const values = new Float32Array(count);
  let state = 1;
  for (let i = 0; i < count; ++i) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[i] = (state >>> 8) / 16777216;
  }
  return values;
}

const count = shape.reduce((a, b) => a * b);
const values = input ? new Float32Array(new Uint8Array(fs.readFileSync(input)).buffer) : noise(count);
const session = await ort.InferenceSession.create(
    model, {intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all'});
const feeds = {[session.inputNames[0]]: new ort.Tensor('float32', values, shape)};

const seconds = [];
let outputs = await session.run(feeds);  // warms up
for (let i = 0; i < repetitions; ++i) {
  const start = process.hrtime.bigint();
  outputs = await session.run(feeds);
  seconds.push(Number(process.hrtime.bigint() - start) * 1e-9);
}
if (output) {
  fs.writeFileSync(output, Buffer.concat(session.outputNames.map(
      (name) => Buffer.from(outputs[name].data.buffer, outputs[name].data.byteOffset,
                            outputs[name].data.byteLength))));
}
console.log(JSON.stringify({version: ort.env.versions.node, seconds}));
