// Embeds an image with an artifact for ONNX Runtime on Android: implementation("com.microsoft.onnxruntime:onnxruntime-android:<version>")
// This file was never compiled or run. Test it with the files in golden/.

import ai.onnxruntime.OnnxTensor
import ai.onnxruntime.OrtEnvironment
import java.nio.FloatBuffer
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.round // half to even

/** Pixels as Bitmap.getPixels gives them, ARGB, upright, without transparency. */
class Pixels(val width: Int, val height: Int, val argb: IntArray) {
    fun channel(x: Int, y: Int, c: Int) = (argb[y * width + x] shr (16 - 8 * c)) and 255
}

/** One pass: each row gets `wide` pixels, with the same numbers as in Pillow. */
fun resizedRows(image: Pixels, wide: Int): Pixels {
    if (wide == image.width) return image
    val scale = image.width.toDouble() / wide
    val support = max(scale, 1.0)
    val result = Pixels(wide, image.height, IntArray(wide * image.height))
    for (x in 0 until wide) {
        val centre = (x + 0.5) * scale
        val first = max((centre - support + 0.5).toInt(), 0)
        val last = minOf((centre + support + 0.5).toInt(), image.width)
        val weights = (first until last).map { max(0.0, 1 - abs((it - centre + 0.5) * (1 / support))) }
        val sum = weights.sum()
        val fixed = weights.map { (0.5 + it / sum * (1 shl 22)).toInt() }
        for (y in 0 until image.height) {
            var pixel = 255
            for (c in 0 until 3) {
                var total = 1 shl 21
                for (i in first until last) total += image.channel(i, y, c) * fixed[i - first]
                pixel = (pixel shl 8) or (total shr 22).coerceIn(0, 255)
            }
            result.argb[y * wide + x] = pixel
        }
    }
    return result
}

fun transposed(image: Pixels) =
    Pixels(image.height, image.width, IntArray(image.argb.size) { image.argb[(it % image.height) * image.width + it / image.height] })

/**
 * float32 [3, crop, crop] in 0..1 for `fit: "crop"` and square sizes. For other values under `preprocessing` in
 * manifest.json see preprocess.mjs, also for images that are more than 16 times as long as wide.
 */
fun input(image: Pixels, resize: Int, crop: Int): FloatArray {
    val scale = max(resize.toDouble() / image.width, resize.toDouble() / image.height)
    val wide = max(resize, round(image.width * scale).toInt())
    val high = max(resize, round(image.height * scale).toInt())
    val resized = transposed(resizedRows(transposed(resizedRows(image, wide)), high))
    val left = (wide - crop) / 2
    val top = (high - crop) / 2
    return FloatArray(3 * crop * crop) {
        resized.channel(left + it % crop, top + it / crop % crop, it / (crop * crop)) / 255f
    }
}

/** The unit vector of an image. Keep the session for more than one image. */
fun embed(model: ByteArray, image: Pixels, resize: Int, crop: Int): FloatArray {
    val environment = OrtEnvironment.getEnvironment()
    val shape = longArrayOf(1, 3, crop.toLong(), crop.toLong())
    environment.createSession(model).use { session ->
        OnnxTensor.createTensor(environment, FloatBuffer.wrap(input(image, resize, crop)), shape).use { tensor ->
            session.run(mapOf(session.inputNames.first() to tensor)).use { result ->
                @Suppress("UNCHECKED_CAST")
                return (result[0].value as Array<FloatArray>)[0]
            }
        }
    }
}
