// From the outputs of the model to what is shown: the steps of mmanchor/runtime/results.py.

// Boxes of an image, best first: {name, score, box: [x1, y1, x2, y2]} in its pixels.
export function boxes({ boxes, scores, labels, counts }, content, size, classes, least) {
  const found = [];
  const scale = [content.width / size.width, content.height / size.height];
  const limits = [size.width, size.height];
  for (let i = 0; i < Number(counts.data[0]); i++) {
    if (scores.data[i] < least) continue;
    const box = Array.from(boxes.data.slice(4 * i, 4 * i + 4), (value, k) =>
      Math.min(Math.max(value / scale[k % 2], 0), limits[k % 2]),
    );
    const label = Number(labels.data[i]);
    found.push({ name: classes[label], label, score: scores.data[i], box });
  }
  return found;
}

// The likeliest classes of an image: {name, score}.
export function classes({ logits }, names, number = 5) {
  const largest = logits.data.reduce((a, b) => Math.max(a, b));
  const shares = Array.from(logits.data, (value) => Math.exp(value - largest));
  const sum = shares.reduce((a, b) => a + b);
  return shares
    .map((share, label) => ({ name: names[label], label, score: share / sum }))
    .sort((a, b) => b.score - a.score)
    .slice(0, number);
}

// The class of each pixel of the image, and how much of it each class covers.
export function mask({ labels }, content, size, names) {
  const width = labels.dims[2];
  const mask = new Int32Array(size.width * size.height);
  const counts = new Map();
  for (let y = 0; y < size.height; y++) {
    const row = Math.floor((y * content.height) / size.height) * width;
    for (let x = 0; x < size.width; x++) {
      const label = labels.data[row + Math.floor((x * content.width) / size.width)];
      mask[y * size.width + x] = label;
      counts.set(label, (counts.get(label) ?? 0) + 1);
    }
  }
  const found = [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => ({
    name: names[label] ?? `class ${label}`, label, score: count / mask.length,
  }));
  return { mask, found };
}

// A color for each class, far from those of its neighbors: [r, g, b].
export function color(label) {
  const hue = (label * 137.508) % 360;
  const part = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.42 - 0.38 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [part(0), part(8), part(4)];
}
