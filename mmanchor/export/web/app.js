// The page: reads an image or the camera, runs the model, shows what it finds.

import { fromCanvas, planes, prepare } from './images.js';
import { boxes, classes, color, mask } from './results.js';

const RUNTIMES = ['./ort/', './node_modules/onnxruntime-web/dist/'];
const get = (id) => document.getElementById(id);
const canvas = get('picture');
const context = canvas.getContext('2d', { willReadFrequently: true });
let ort, model, session;
// What was read last, to draw again when the slider moves; and whether a run is on.
let last, busy = false, stream;

function say(text, kind = '') {
  get('status').textContent = text;
  get('status').className = kind;
}

async function loadRuntime() {
  for (const folder of RUNTIMES) {
    const place = new URL(folder, document.baseURI).href;
    if (!(await fetch(`${place}ort.wasm.min.mjs`, { method: 'HEAD' })).ok) continue;
    ort = await import(`${place}ort.wasm.min.mjs`);
    ort.env.wasm.wasmPaths = place;
    return;
  }
  throw new Error('ONNX Runtime Web is not here: run npm install onnxruntime-web in this folder');
}

async function start() {
  say('Loading the model …');
  model = await (await fetch('./model.json')).json();
  document.title = get('title').textContent = (model.config ?? model.task).replace(/\.py$/, '');
  get('task').textContent = `${model.task}, ${model.classes.length} classes, ${model.input.size.join(' × ')} pixels`;
  get('threshold').hidden = model.task !== 'detection';
  await loadRuntime();
  session = await ort.InferenceSession.create('./model.onnx', { executionProviders: ['wasm'] });
  for (const id of ['file', 'camera']) get(id).disabled = false;
  document.body.dataset.ready = 'true';
  say('Choose an image, drop one here, or start the camera.');
}

// Draws a source, runs the model on its pixels and shows the results.
async function predict(source, width, height) {
  canvas.width = width;
  canvas.height = height;
  context.drawImage(source, 0, 0, width, height);
  const begin = performance.now();
  const pixels = context.getImageData(0, 0, width, height);
  const { image, content } = prepare(fromCanvas(pixels), model.steps);
  const shape = [1, 3, image.height, image.width];
  const input = new ort.Tensor('uint8', planes(image), shape);
  const outputs = await session.run({ [model.input.name]: input });
  last = { pixels, content, outputs };
  show();
  say(`${Math.round(performance.now() - begin)} ms`);
}

function show() {
  if (!last) return;
  const { pixels, content, outputs } = last;
  context.putImageData(pixels, 0, 0);
  if (model.task === 'detection') {
    const found = boxes(outputs, content, pixels, model.classes, Number(get('least').value));
    drawBoxes(found);
    list(found);
  } else if (model.task === 'segmentation') {
    const { mask: labels, found } = mask(outputs, content, pixels, model.classes);
    drawMask(labels, pixels);
    list(found);
  } else {
    list(classes(outputs, model.classes));
  }
}

function drawBoxes(found) {
  const unit = Math.max(canvas.width, canvas.height) / 100;
  context.lineWidth = Math.max(1.5, unit / 3);
  context.font = `600 ${Math.max(11, 2.2 * unit)}px system-ui, sans-serif`;
  context.textBaseline = 'top';
  for (const { name, label, score, box: [x1, y1, x2, y2] } of [...found].reverse()) {
    const paint = `rgb(${color(label)})`;
    const text = `${name} ${Math.round(100 * score)}`;
    const height = Math.max(15, 3 * unit), width = context.measureText(text).width + unit;
    const left = Math.max(0, Math.min(x1, canvas.width - width)), top = Math.max(0, y1 - height);
    context.strokeStyle = context.fillStyle = paint;
    context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    context.fillRect(left, top, width, height);
    context.fillStyle = '#fff';
    context.fillText(text, left + unit / 2, top + height / 6);
  }
}

function drawMask(labels, { width, height, data }) {
  const painted = new ImageData(new Uint8ClampedArray(data), width, height);
  labels.forEach((label, i) => {
    color(label).forEach((value, c) => { painted.data[4 * i + c] = (data[4 * i + c] + value) / 2; });
  });
  context.putImageData(painted, 0, 0);
}

function list(found) {
  get('results').replaceChildren(...found.map(({ name, label, score, box }) => {
    const row = document.createElement('li');
    const swatch = document.createElement('i');
    if (model.task !== 'classification') swatch.style.background = `rgb(${color(label)})`;
    const share = document.createElement('b');
    share.textContent = `${(100 * score).toFixed(1)} %`;
    row.append(swatch, name, share);
    row.style.setProperty('--share', score);
    if (box) {
      row.dataset.box = box.map((value) => value.toFixed(2)).join(' ');
      row.title = `corners ${row.dataset.box}`;
    }
    return row;
  }));
  get('empty').hidden = found.length > 0;
}

async function openFile(file) {
  if (!file || busy || !session) return;
  stopCamera();
  busy = true;
  try {
    // As OpenCV reads it: upright, and without the profile of a monitor.
    const bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
    await predict(bitmap, bitmap.width, bitmap.height);
  } catch (error) {
    say(`${file.name}: ${error.message}`, 'error');
  } finally {
    busy = false;
  }
}

async function startCamera() {
  const video = get('video'), button = get('camera');
  // A second click would open a second stream, which nothing stops.
  button.disabled = true;
  try {
    if (!navigator.mediaDevices) throw new Error('browsers give it to pages of https and of localhost alone');
    const mine = stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    video.srcObject = mine;
    await video.play();
    button.disabled = false;
    button.textContent = 'Stop camera';
    while (stream === mine) {
      await predict(video, video.videoWidth, video.videoHeight);
      await new Promise(requestAnimationFrame);
    }
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`, 'error');
    stopCamera();
  } finally {
    button.disabled = false;
  }
}

function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = undefined;
  get('camera').textContent = 'Camera';
}

get('file').addEventListener('change', ({ target }) => {
  openFile(target.files[0]);
  target.value = '';
});
get('camera').addEventListener('click', () => (stream ? stopCamera() : startCamera()));
get('least').addEventListener('input', ({ target }) => {
  get('value').textContent = Number(target.value).toFixed(2);
  show();
});
document.addEventListener('dragover', (event) => event.preventDefault());
document.addEventListener('drop', (event) => {
  event.preventDefault();
  openFile(event.dataTransfer.files[0]);
});
start().catch((error) => say(error.message, 'error'));
