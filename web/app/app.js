'use strict';
const by = id => document.getElementById(id);

// What can be asked for. `text` empty: the server's own seven points.
const PRESETS = [
  { name: 'Seven points', text: '', tokens: 256 },
  { name: 'Short description', text: 'Describe the picture in one short sentence.', tokens: 64 },
  { name: 'Facial expression', text: 'What expression does the face show? Answer in one or two words.', tokens: 16 },
  { name: 'Read text', text: 'What text can be read in the picture? Answer with the text alone.', tokens: 128 },
  { name: 'Own question', text: null, tokens: 256 },
];
const LONGEST_SIDE = 1024;  // of what is sent: no tower of this family sees more
const SMALL_SIDE = 160;     // of the pictures in the history
const MOST_HISTORY = 50;

// ---------------------------------------------------------------- the server

// The key comes in the fragment, which browsers send to nobody, and leaves the address bar.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get('key');
  if (given) {
    sessionStorage.setItem('key', given);
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem('key');
}
const key = takeKey();

function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (key) headers.Authorization = 'Bearer ' + key;
  return fetch(path, { ...options, headers });
}

async function problemOf(answer) {
  let text = `The server answered ${answer.status}.`;
  try { text = (await answer.json()).error.message; } catch { /* not JSON */ }
  if (answer.status === 401) text = 'This server wants its key: open the address that it printed, or append #key=KEY.';
  return text;
}

// The data of each event, as it comes.
async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += value;
    const whole = waiting.split('\n\n');
    waiting = whole.pop();
    for (const event of whole) {
      const data = event.split('\n').filter(line => line.startsWith('data:')).map(line => line.slice(5).trim()).join('\n');
      if (data && data !== '[DONE]') yield JSON.parse(data);
    }
  }
}

// Of the process, in bytes; null where the server does not say.
async function memory() {
  const answer = await ask('metrics');
  if (!answer.ok) return null;
  const line = /^\S*_resident_bytes ([0-9.e+]+)$/m.exec(await answer.text());
  return line ? Number(line[1]) : null;
}

// ---------------------------------------------------------------- one caption

let shown = null;     // {url: data URI, width, height} that was asked about last
let running = null;   // AbortController
let detects = true;   // until the server says that it has no detector
let speaking = false;
let said = '';        // the answer so far

async function detect(picture, signal) {
  if (!detects) return [];
  const answer = await ask('v1/detections', { method: 'POST', signal, headers: { 'Content-Type': 'application/json' },
    body: JSON.stringify({ image: picture.url }) });
  if (answer.status === 404) detects = false;
  if (!answer.ok) return [];
  return (await answer.json()).detections;
}

function question() {
  const preset = PRESETS[by('preset').value];
  return preset.text === null ? by('question').value.trim() : preset.text;
}

// Sections as [{title, text}], of text that may still grow.
function sectionsOf(text) {
  const sections = [];
  for (const line of text.split('\n')) {
    const head = /^\s*\d+\.\s+([^–:]{2,60}?)\s*[–:]\s*(.*)$/.exec(line);
    if (head) sections.push({ title: head[1], text: head[2] });
    else if (sections.length) sections[sections.length - 1].text += '\n' + line;
    else sections.push({ title: '', text: line });
  }
  return sections.map(({ title, text: body }) => ({ title, text: body.trim() })).filter(({ title, text: body }) => title || body);
}

function showCaption(text) {
  said = text;
  const parts = [];
  for (const { title, text: body } of sectionsOf(text)) {
    if (title) {
      const heading = document.createElement('h3');
      heading.textContent = title;
      parts.push(heading);
    }
    const paragraph = document.createElement('p');
    paragraph.textContent = body;
    parts.push(paragraph);
  }
  by('caption').replaceChildren(...parts);
}

function showFigures(figures) {
  by('figures').replaceChildren(...Object.entries(figures).filter(([, value]) => value !== null).map(([name, value]) => {
    const pair = document.createElement('div');
    const term = document.createElement('dt');
    const description = document.createElement('dd');
    term.textContent = name;
    description.textContent = value;
    pair.append(term, description);
    return pair;
  }));
}

function showProblem(text) {
  by('problem').textContent = text || '';
  by('problem').hidden = !text;
}

function setBusy(busy) {
  by('stop').disabled = !busy;
  by('again').disabled = busy || !shown;
  by('copy').disabled = by('speak').disabled = busy || !said;
}

// Asks about a picture. Resolves when the answer is whole; false when it failed or was stopped.
async function caption(picture) {
  if (running) running.abort();
  const asked = question();
  const { tokens: most } = PRESETS[by('preset').value];
  const control = running = new AbortController();
  shown = picture;
  showProblem('');
  showCaption('');
  showFigures({});
  setBusy(true);
  by('state').textContent = 'Looking …';
  const began = performance.now();
  let first = null, text = '', usage = null;
  try {
    const found = await detect(picture, control.signal);
    drawBoxes(found, picture);
    const words = asked ? [{ type: 'text', text: asked }] : [];
    const answer = await ask('v1/chat/completions', { method: 'POST', signal: control.signal,
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ stream: true, stream_options: { include_usage: true }, max_tokens: most,
        messages: [{ role: 'user', content: [...words, { type: 'image_url', image_url: { url: picture.url } }] }] }) });
    if (!answer.ok) throw new Error(await problemOf(answer));
    for await (const event of events(answer.body)) {
      if (event.error) throw new Error(event.error.message);
      usage = event.usage || usage;
      const piece = event.choices?.[0]?.delta?.content;
      if (!piece) continue;
      first ??= performance.now();
      text += piece;
      showCaption(text);
      by('state').textContent = 'Writing …';
    }
  } catch (fault) {
    if (running !== control) return false;  // another picture has taken its place
    running = null;
    by('state').textContent = fault.name === 'AbortError' ? 'Stopped.' : '';
    if (fault.name !== 'AbortError') showProblem(fault instanceof TypeError ? 'The server cannot be reached.' : fault.message);
    setBusy(false);
    return false;
  }
  const end = performance.now();
  const tokens = usage ? usage.completion_tokens : null;
  const held = await memory().catch(() => null);
  if (running !== control) return false;
  running = null;
  by('state').textContent = '';
  showFigures({
    'first words after': first === null ? null : `${Math.round(first - began)} ms`,
    'tokens a second': tokens > 1 && end > first ? (tokens / ((end - first) / 1000)).toFixed(0) : null,
    tokens,
    memory: held === null ? null : `${Math.round(held / 1e6)} MB`,
  });
  setBusy(false);
  remember(picture, asked, text.trim());
  if (speaking) speak();
  return true;
}

// ---------------------------------------------------------------- pictures

// As JPEG, with no side longer than `longest`: that of what is sent is what the tower needs.
function shrunk(source, width, height, longest = LONGEST_SIDE) {
  const scale = Math.min(1, longest / Math.max(width, height));
  const canvas = document.createElement('canvas');
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext('2d').drawImage(source, 0, 0, canvas.width, canvas.height);
  return { url: canvas.toDataURL('image/jpeg', 0.92), width: canvas.width, height: canvas.height };
}

async function open(file) {
  if (!file) return;
  stopCamera();
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { imageOrientation: 'from-image' });
  } catch {
    return showProblem(`${file.name || 'The picture'}: this browser cannot read it. Try JPEG or PNG.`);
  }
  const picture = shrunk(bitmap, bitmap.width, bitmap.height);
  bitmap.close();
  by('picture').src = picture.url;
  by('picture').alt = file.name || 'pasted picture';
  by('picture').hidden = false;
  by('hint').hidden = true;
  by('stage').classList.add('filled');
  await by('picture').decode().catch(() => {});
  await caption(picture);
}

function drawBoxes(found, picture) {
  const canvas = by('boxes');
  const view = by('video').hidden ? by('picture') : by('video');
  const area = view.getBoundingClientRect(), stage = by('stage').getBoundingClientRect();
  const dense = window.devicePixelRatio || 1;
  canvas.width = area.width * dense;
  canvas.height = area.height * dense;
  Object.assign(canvas.style, { width: `${area.width}px`, height: `${area.height}px`,
    left: `${area.left - stage.left - by('stage').clientLeft}px`, top: `${area.top - stage.top - by('stage').clientTop}px` });
  canvas.found = found;
  canvas.of = picture;
  if (!found.length) return;
  const pen = canvas.getContext('2d');
  pen.scale(canvas.width / picture.width, canvas.height / picture.height);
  const unit = picture.width / area.width;  // a pixel of the screen
  pen.lineWidth = 2 * unit;
  pen.font = `${13 * unit}px system-ui, sans-serif`;
  for (const { label, confidence, box_xyxy: [left, top, right, bottom] } of found) {
    const hue = [...label].reduce((sum, letter) => sum * 31 + letter.codePointAt(0), 7) % 360;
    pen.strokeStyle = pen.fillStyle = `hsl(${hue} 80% 40%)`;
    pen.strokeRect(left, top, right - left, bottom - top);
    const words = `${label} ${Math.round(confidence * 100)} %`;
    const width = pen.measureText(words).width + 8 * unit, height = 18 * unit;
    const y = top >= height ? top - height : top;
    pen.fillRect(left, y, width, height);
    pen.fillStyle = '#fff';
    pen.fillText(words, left + 4 * unit, y + 13.5 * unit);
  }
}

// ---------------------------------------------------------------- the camera

let stream = null;
let facing = 'environment';

async function startCamera() {
  stopCamera();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ audio: false,
      video: { facingMode: facing, width: { ideal: 1280 }, height: { ideal: 960 } } });
  } catch (fault) {
    return showProblem(fault.name === 'NotAllowedError' ? 'The camera was not allowed: see the lock beside the address.'
      : fault.name === 'NotFoundError' ? 'There is no camera.' : `The camera does not start: ${fault.message}`);
  }
  showProblem('');
  by('video').srcObject = stream;
  await by('video').play();
  by('picture').hidden = true;
  by('hint').hidden = true;
  by('video').hidden = false;
  by('live').hidden = false;
  by('stage').classList.add('filled');
  by('camera').textContent = 'Stop camera';
  drawBoxes([], { width: 1, height: 1 });
  if (by('continuous').checked) watch();
}

function stopCamera() {
  if (!stream) return;
  for (const track of stream.getTracks()) track.stop();
  stream = null;
  by('video').hidden = by('live').hidden = true;
  by('video').srcObject = null;
  by('camera').textContent = 'Start camera';
  drawBoxes([], { width: 1, height: 1 });
  if (!by('picture').getAttribute('src')) {
    by('hint').hidden = false;
    by('stage').classList.remove('filled');
  } else {
    by('picture').hidden = false;
  }
}

function frame() {
  const video = by('video');
  return shrunk(video, video.videoWidth, video.videoHeight);
}

// Whatever the camera saw while an answer was being made is left out: the next one is about now.
async function watch() {
  while (stream && by('continuous').checked && await caption(frame())) {
    await new Promise(done => requestAnimationFrame(done));
  }
}

// ---------------------------------------------------------------- what was said

const past = [];  // {time, question, text, picture: small data URI}

async function remember(picture, asked, text) {
  if (!text) return;
  const image = new Image();
  image.src = picture.url;
  await image.decode().catch(() => {});
  past.unshift({ time: new Date().toISOString(), question: asked || 'seven points', text,
    picture: shrunk(image, picture.width, picture.height, SMALL_SIDE).url });
  past.length = Math.min(past.length, MOST_HISTORY);
  showPast();
}

function showPast() {
  by('past').hidden = past.length === 0;
  by('history').replaceChildren(...past.map(entry => {
    const item = document.createElement('li');
    const image = document.createElement('img');
    image.src = entry.picture;
    image.alt = '';
    const words = document.createElement('p');
    words.textContent = entry.text;
    words.tabIndex = 0;
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = 'Copy';
    button.addEventListener('click', () => copy(entry.text));
    item.append(image, words, button);
    return item;
  }));
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {  // no HTTPS
    const area = document.createElement('textarea');
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand('copy');
    area.remove();
  }
  by('state').textContent = 'Copied.';
}

function save() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([JSON.stringify(past, null, 2)], { type: 'application/json' }));
  link.download = 'captions.json';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function speak() {
  const words = sectionsOf(said).map(({ title, text }) => (title ? `${title}. ` : '') + text).join('\n');
  speechSynthesis.cancel();
  speechSynthesis.speak(new SpeechSynthesisUtterance(words));
}

// ---------------------------------------------------------------- all together

function chooseTheme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
}

function setUp() {
  for (const [index, preset] of PRESETS.entries()) by('preset').add(new Option(preset.name, index));
  by('preset').addEventListener('change', () => { by('own').hidden = PRESETS[by('preset').value].text !== null; });
  for (const id of ['file', 'photo']) {
    by(id).addEventListener('change', event => { open(event.target.files[0]); event.target.value = ''; });
  }
  const stage = by('stage');
  stage.addEventListener('dragover', event => { event.preventDefault(); stage.classList.add('over'); });
  stage.addEventListener('dragleave', () => stage.classList.remove('over'));
  stage.addEventListener('drop', event => {
    event.preventDefault();
    stage.classList.remove('over');
    open(event.dataTransfer.files[0]);
  });
  document.addEventListener('paste', event => {
    const file = [...event.clipboardData.files].find(each => each.type.startsWith('image/'));
    if (file) open(file);
  });
  const camera = window.isSecureContext && navigator.mediaDevices;
  by('camera').disabled = !camera;
  by('why').hidden = !!camera;
  by('camera').addEventListener('click', () => (stream ? stopCamera() : startCamera()));
  by('turn').addEventListener('click', () => { facing = facing === 'user' ? 'environment' : 'user'; startCamera(); });
  by('shot').addEventListener('click', () => caption(frame()));
  by('continuous').addEventListener('change', () => { if (by('continuous').checked) watch(); });
  by('again').addEventListener('click', () => caption(stream ? frame() : shown));
  by('stop').addEventListener('click', () => { by('continuous').checked = false; running?.abort(); });
  by('copy').addEventListener('click', () => copy(said.trim()));
  by('speak').hidden = !('speechSynthesis' in window);
  by('speak').addEventListener('click', () => {
    speaking = !speaking;
    by('speak').setAttribute('aria-pressed', speaking);
    if (speaking) speak();
    else speechSynthesis.cancel();
  });
  by('export').addEventListener('click', save);
  by('clear').addEventListener('click', () => { past.length = 0; showPast(); });
  by('theme').value = localStorage.getItem('theme') || '';
  chooseTheme(by('theme').value);
  by('theme').addEventListener('change', event => {
    localStorage.setItem('theme', event.target.value);
    chooseTheme(event.target.value);
  });
  window.addEventListener('resize', () => { const canvas = by('boxes'); if (canvas.of) drawBoxes(canvas.found, canvas.of); });
  if (window.isSecureContext && 'serviceWorker' in navigator) navigator.serviceWorker.register('sw.js').catch(() => {});
  ask('v1/models').then(async answer => {
    if (!answer.ok) throw new Error(await problemOf(answer));
    by('model').textContent = (await answer.json()).data[0].id;
  }).catch(fault => showProblem(fault instanceof TypeError ? 'The server cannot be reached.' : fault.message));
}
setUp();
