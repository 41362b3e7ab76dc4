// From the pixels of an image to the input of an artifact's model, as `embed` makes it in Python.
// The resize gives the same bytes as Pillow: weights in fixed point, and 8 bits after each of its two passes.
// An image is { height, width, rgb }, with rgb a Uint8Array [height, width, 3].

const sides = (size) => (Array.isArray(size) ? size : [size, size]); // height, width

function whole(value) { // half to even
  const below = Math.floor(value), rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function cut({ width: whole, rgb }, top, left, height, width) {
  const part = new Uint8Array(3 * height * width);
  for (let y = 0; y < height; y++) {
    const start = 3 * ((top + y) * whole + left);
    part.set(rgb.subarray(start, start + 3 * width), 3 * y * width);
  }
  return { height, width, rgb: part };
}

function transposed({ height, width, rgb }) {
  const turned = new Uint8Array(rgb.length);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) turned[3 * (x * height + y) + c] = rgb[3 * (y * width + x) + c];
  return { height: width, width: height, rgb: turned };
}

// One pass: each row gets `width` pixels.
function resizedRows(image, width) {
  if (width === image.width) return image;
  const one = 2 ** 22, scale = image.width / width, support = Math.max(scale, 1);
  const rgb = new Uint8Array(3 * image.height * width);
  for (let x = 0; x < width; x++) {
    const centre = (x + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support + 0.5), image.width);
    const weights = [];
    for (let i = first; i < last; i++) weights.push(Math.max(0, 1 - Math.abs((i - centre + 0.5) * (1 / support))));
    const sum = weights.reduce((a, b) => a + b, 0);
    const fixed = weights.map((weight) => Math.trunc(0.5 + (weight / sum) * one));
    for (let y = 0; y < image.height; y++)
      for (let c = 0; c < 3; c++) {
        let total = one / 2;
        for (let i = first; i < last; i++) total += image.rgb[3 * (y * image.width + i) + c] * fixed[i - first];
        rgb[3 * (y * width + x) + c] = Math.min(255, Math.max(0, Math.floor(total / one)));
      }
  }
  return { height: image.height, width, rgb };
}

const resized = (image, height, width) => transposed(resizedRows(transposed(resizedRows(image, width)), height));

// The image of upright RGB pixels, fitted to the frame and cropped. `steps` is `preprocessing` in manifest.json.
export function cropped(image, steps) {
  const [fh, fw] = sides(steps.resize), [height, width] = sides(steps.crop);
  if (steps.fit === "squash") {
    image = resized(image, fh, fw);
  } else if (steps.fit === "pad") {
    const scale = Math.min(fw / image.width, fh / image.height);
    const h = Math.min(fh, Math.max(1, whole(image.height * scale)));
    const w = Math.min(fw, Math.max(1, whole(image.width * scale)));
    const inner = resized(image, h, w), rgb = new Uint8Array(3 * fh * fw).fill(255);
    const top = Math.floor((fh - h) / 2), left = Math.floor((fw - w) / 2);
    for (let y = 0; y < h; y++) rgb.set(inner.rgb.subarray(3 * y * w, 3 * (y + 1) * w), 3 * ((y + top) * fw + left));
    image = { height: fh, width: fw, rgb };
  } else { // crop
    const across = Math.min(image.width, Math.max(1, Math.floor((16 * image.height * fw) / fh)));
    const down = Math.min(image.height, Math.max(1, Math.floor((16 * image.width * fh) / fw)));
    image = cut(image, Math.floor((image.height - down) / 2), Math.floor((image.width - across) / 2), down, across);
    const scale = Math.max(fw / image.width, fh / image.height);
    image = resized(image, Math.max(fh, whole(image.height * scale)), Math.max(fw, whole(image.width * scale)));
  }
  const top = Math.floor((image.height - height) / 2), left = Math.floor((image.width - width) / 2);
  return cut(image, top, left, height, width);
}

// Float32Array [3, height, width] in 0..1.
export function inputOf({ height, width, rgb }) {
  const plane = height * width, input = new Float32Array(3 * plane);
  for (let i = 0; i < plane; i++) for (let c = 0; c < 3; c++) input[c * plane + i] = rgb[3 * i + c] / 255;
  return input;
}
