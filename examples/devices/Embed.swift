// Embeds an image with an artifact of the target `iphone`, by Core ML.
// This file was never compiled or run. Test it with the files in golden/.

import CoreML
import Foundation

/// Upright RGB pixels without transparency, [height, width, 3].
struct Pixels {
    var height: Int
    var width: Int
    var rgb: [UInt8]
}

/// One pass: each row gets `wide` pixels, with the same numbers as in Pillow.
func resizedRows(_ image: Pixels, _ wide: Int) -> Pixels {
    if wide == image.width { return image }
    let scale = Double(image.width) / Double(wide)
    let support = max(scale, 1)
    var result = Pixels(height: image.height, width: wide, rgb: [UInt8](repeating: 0, count: 3 * wide * image.height))
    for x in 0..<wide {
        let centre = (Double(x) + 0.5) * scale
        let first = max(Int(centre - support + 0.5), 0)
        let last = min(Int(centre + support + 0.5), image.width)
        let weights = (first..<last).map { max(0, 1 - abs((Double($0) - centre + 0.5) * (1 / support))) }
        let sum = weights.reduce(0, +)
        let fixed = weights.map { Int(0.5 + $0 / sum * Double(1 << 22)) }
        for y in 0..<image.height {
            for c in 0..<3 {
                var total = 1 << 21
                for i in first..<last { total += Int(image.rgb[3 * (y * image.width + i) + c]) * fixed[i - first] }
                result.rgb[3 * (y * wide + x) + c] = UInt8(min(255, max(0, total >> 22)))
            }
        }
    }
    return result
}

func transposed(_ image: Pixels) -> Pixels {
    var turned = Pixels(height: image.width, width: image.height, rgb: image.rgb)
    for y in 0..<image.height {
        for x in 0..<image.width {
            for c in 0..<3 { turned.rgb[3 * (x * image.height + y) + c] = image.rgb[3 * (y * image.width + x) + c] }
        }
    }
    return turned
}

/// The input [1, 3, crop, crop] in 0..1 for `fit: "crop"` and square sizes. For other values under `preprocessing` in
/// manifest.json see preprocess.mjs, also for images that are more than 16 times as long as wide.
func input(_ image: Pixels, resize: Int, crop: Int) throws -> MLMultiArray {
    let scale = max(Double(resize) / Double(image.width), Double(resize) / Double(image.height))
    let wide = max(resize, Int((Double(image.width) * scale).rounded(.toNearestOrEven)))
    let high = max(resize, Int((Double(image.height) * scale).rounded(.toNearestOrEven)))
    let resized = transposed(resizedRows(transposed(resizedRows(image, wide)), high))
    let left = (wide - crop) / 2, top = (high - crop) / 2
    let array = try MLMultiArray(shape: [1, 3, NSNumber(value: crop), NSNumber(value: crop)], dataType: .float32)
    for c in 0..<3 {
        for y in 0..<crop {
            for x in 0..<crop {
                let value = resized.rgb[3 * ((top + y) * wide + left + x) + c]
                array[[0, NSNumber(value: c), NSNumber(value: y), NSNumber(value: x)]] = NSNumber(value: Float(value) / 255)
            }
        }
    }
    return array
}

/// The model of an artifact's .mlpackage. Keep it for more than one image.
func model(package: URL) async throws -> MLModel {
    try MLModel(contentsOf: try await MLModel.compileModel(at: package))
}

/// The unit vector of an image.
func embed(_ model: MLModel, _ image: Pixels, resize: Int, crop: Int) throws -> [Float] {
    let images = MLFeatureValue(multiArray: try input(image, resize: resize, crop: crop))
    let outputs = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: ["images": images]))
    guard let vector = outputs.featureValue(for: "embeddings")?.multiArrayValue else { return [] }
    return (0..<vector.count).map { vector[$0].floatValue }
}
