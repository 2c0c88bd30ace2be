// From an image to the input of the model: the steps of mmanchor/runtime/images.py.

// Weights of the pixels of one axis that make each pixel of the result.
const cubic = (a) => (x) =>
  x < 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));
const FILTERS = {
  cv2: { bilinear: [1, (x) => Math.max(0, 1 - x)], bicubic: [2, cubic(-0.75)] },
  pillow: {
    bilinear: [1, (x) => Math.max(0, 1 - x)],
    bicubic: [2, cubic(-0.5)],
    lanczos: [3, (x) => (x < 3 ? sinc(x) * sinc(x / 3) : 0)],
  },
};

// Each pixel of the result is a sum of `count` pixels: at[i * count + k], times weights[i * count + k].
function taps(length, wanted, backend, interpolation) {
  const ratio = length / wanted;
  const clip = (i) => Math.min(Math.max(i, 0), length - 1);
  if (interpolation === 'nearest') {
    const shift = backend === 'pillow' ? ratio / 2 : 0;
    const at = Int32Array.from({ length: wanted }, (_, i) => clip(Math.floor(i * ratio + shift)));
    return { count: 1, at, weights: new Float64Array(wanted).fill(1) };
  }
  const [support, filter] = FILTERS[backend][interpolation];
  // Pillow widens the filter where it shrinks and cuts it at the border, which OpenCV repeats.
  const pillow = backend === 'pillow';
  const stretch = pillow ? Math.max(1, ratio) : 1;
  const reach = support * stretch;
  const count = pillow ? 2 * Math.ceil(reach) + 1 : 2 * support;
  const at = new Int32Array(wanted * count), weights = new Float64Array(wanted * count);
  for (let i = 0; i < wanted; i++) {
    const center = (i + 0.5) * ratio - 0.5;
    let first = Math.floor(center) - support + 1, last = first + count - 1;
    if (pillow) {
      first = Math.max(0, Math.floor(center - reach + 1));
      last = Math.min(length, Math.floor(center + reach + 1)) - 1;
    }
    let sum = 0;
    for (let j = first; j <= last; j++) sum += filter(Math.abs(j - center) / stretch);
    for (let j = first; j <= last; j++) {
      at[i * count + j - first] = clip(j);
      weights[i * count + j - first] = filter(Math.abs(j - center) / stretch) / sum;
    }
  }
  return { count, at, weights };
}

// An image is {data, width, height}: interleaved BGR, bytes.
export function resize(image, width, height, { backend = 'cv2', interpolation = 'bilinear' }) {
  const across = taps(image.width, width, backend, interpolation);
  const down = taps(image.height, height, backend, interpolation);
  // Pillow rounds between the two passes, OpenCV at the end alone.
  const Rows = backend === 'pillow' ? Uint8ClampedArray : Float64Array;
  const rows = new Rows(image.height * width * 3);
  for (let y = 0, to = 0; y < image.height; y++) {
    const row = 3 * y * image.width;
    for (let x = 0; x < width; x++, to += 3) {
      let b = 0, g = 0, r = 0;
      for (let k = x * across.count; k < (x + 1) * across.count; k++) {
        const from = row + 3 * across.at[k], weight = across.weights[k];
        b += weight * image.data[from];
        g += weight * image.data[from + 1];
        r += weight * image.data[from + 2];
      }
      rows[to] = b;
      rows[to + 1] = g;
      rows[to + 2] = r;
    }
  }
  const data = new Uint8ClampedArray(height * width * 3);
  const sums = new Float64Array(3 * width);
  for (let y = 0; y < height; y++) {
    sums.fill(0);
    for (let k = y * down.count; k < (y + 1) * down.count; k++) {
      const from = 3 * width * down.at[k], weight = down.weights[k];
      if (weight) for (let i = 0; i < sums.length; i++) sums[i] += weight * rows[from + i];
    }
    data.set(sums, 3 * width * y);
  }
  return { data, width, height };
}

// A part of an image from (left, top) on; what lies beyond it has the value.
function cut(image, left, top, width, height, value = [0, 0, 0]) {
  const data = new Uint8ClampedArray(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = y + top < image.height && x + left < image.width;
      const from = ((y + top) * image.width + x + left) * 3;
      for (let c = 0; c < 3; c++) data[(y * width + x) * 3 + c] = inside ? image.data[from + c] : value[c];
    }
  }
  return { data, width, height };
}

const half = (x) => Math.floor(x + 0.5);
// As Python rounds.
const even = (x) => (x % 1 === 0.5 ? 2 * Math.round(x / 2) : Math.round(x));

function resizeEdge(image, step) {
  const { width, height } = image;
  const edges = { short: width < height, long: width > height, width: true, height: false };
  const size = edges[step.edge]
    ? [step.size, Math.max(1, Math.floor((step.size * height) / width))]
    : [Math.max(1, Math.floor((step.size * width) / height)), step.size];
  return resize(image, ...size, step);
}

const STEPS = {
  resize(image, step) {
    const { width, height } = image;
    if (!step.keep_ratio) return resize(image, step.scale[0], step.scale[1], step);
    const factor = Math.min(
      Math.max(...step.scale) / Math.max(width, height),
      Math.min(...step.scale) / Math.min(width, height),
    );
    return resize(image, Math.max(1, half(width * factor)), Math.max(1, half(height * factor)), step);
  },
  resize_within(image, step) {
    const [rows, columns] = step.size;
    const factor = Math.min(rows / image.height, columns / image.width);
    const fit = (side, most) => Math.max(1, Math.min(half(side * factor), most));
    return resize(image, fit(image.width, columns), fit(image.height, rows), step);
  },
  resize_edge: resizeEdge,
  center_crop(image, step) {
    const [rows, columns] = step.size;
    const top = Math.max(0, even((image.height - rows) / 2));
    const left = Math.max(0, even((image.width - columns) / 2));
    const height = Math.min(rows, image.height - top);
    return cut(image, left, top, Math.min(columns, image.width - left), height);
  },
  pad(image, step) {
    const [rows, columns] = step.size;
    return cut(image, 0, 0, Math.max(columns, image.width), Math.max(rows, image.height), step.value);
  },
  pad_square(image, step) {
    const side = Math.max(image.width, image.height);
    return cut(image, 0, 0, side, side, step.value);
  },
};

// The image as the model takes it, and the size of what is no padding in it.
export function prepare(image, steps) {
  let content = { width: image.width, height: image.height };
  for (const step of steps) {
    image = STEPS[step.op](image, step);
    if (!step.op.startsWith('pad')) content = { width: image.width, height: image.height };
  }
  return { image, content };
}

// Pixels of a canvas, RGBA -> BGR.
export function fromCanvas({ data, width, height }) {
  const bgr = new Uint8ClampedArray(width * height * 3);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) bgr[3 * i + c] = data[4 * i + 2 - c];
  }
  return { data: bgr, width, height };
}

// (1, 3, H, W), bytes.
export function planes({ data, width, height }) {
  const result = new Uint8Array(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) result[c * width * height + i] = data[3 * i + c];
  }
  return result;
}
