// Embeds a PNG with an artifact, without Python: `npm install onnxruntime-node pngjs`, then
//
//     node embed.mjs ARTIFACT [IMAGE]
//
// It prints the vector as JSON. Without IMAGE it embeds the golden image, prints the largest difference from the golden
// vector, and fails if that is above 1e-4. The artifact has to be one for ONNX Runtime.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import ort from "onnxruntime-node";
import { PNG } from "pngjs";
import { cropped, inputOf } from "./preprocess.mjs";

// RGB pixels on white.
function decoded(file) {
  const { height, width, data } = PNG.sync.read(readFileSync(file));
  const rgb = new Uint8Array(3 * height * width);
  for (let i = 0; i < height * width; i++)
    for (let c = 0; c < 3; c++)
      rgb[3 * i + c] = Math.floor((data[4 * i + c] * data[4 * i + 3] + 255 * (255 - data[4 * i + 3]) + 127) / 255);
  return { height, width, rgb };
}

async function embed(artifact, manifest, file) {
  const image = cropped(decoded(file), manifest.preprocessing);
  const session = await ort.InferenceSession.create(join(artifact, manifest.entry));
  const input = new ort.Tensor("float32", inputOf(image), [1, 3, image.height, image.width]);
  const outputs = await session.run({ [session.inputNames[0]]: input });
  return outputs[session.outputNames[0]].data;
}

const [artifact, file] = process.argv.slice(2);
const manifest = JSON.parse(readFileSync(join(artifact, "manifest.json"), "utf-8"));
const vector = await embed(artifact, manifest, file ?? join(artifact, manifest.golden.image));
if (file) {
  console.log(JSON.stringify(Array.from(vector)));
} else {
  const bytes = readFileSync(join(artifact, manifest.golden.output));
  const worst = Math.max(...vector.map((value, i) => Math.abs(value - bytes.readFloatLE(4 * i))));
  console.log(`largest difference ${worst.toPrecision(3)}`);
  process.exitCode = vector.length * 4 === bytes.length && worst <= 1e-4 ? 0 : 1;
}
