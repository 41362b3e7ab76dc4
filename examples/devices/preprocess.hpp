// From the pixels of an image to the input of an artifact's model, as `embed` makes it in Python.
// The resize gives the same bytes as Pillow: weights in fixed point, and 8 bits after each of its two passes.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

struct Image {
    int height, width;
    std::vector<std::uint8_t> rgb;  // [height, width, 3]
};

struct Steps {  // `preprocessing` in manifest.json
    std::string fit;
    int frame_height, frame_width, height, width;
};

inline Image cut(const Image& image, int top, int left, int height, int width) {
    Image part{height, width, {}};
    for (int y = 0; y < height; ++y) {
        const auto row = image.rgb.begin() + 3LL * ((top + y) * static_cast<long long>(image.width) + left);
        part.rgb.insert(part.rgb.end(), row, row + 3LL * width);
    }
    return part;
}

inline Image transposed(const Image& image) {
    Image turned{image.width, image.height, std::vector<std::uint8_t>(image.rgb.size())};
    for (int y = 0; y < image.height; ++y)
        for (int x = 0; x < image.width; ++x)
            for (int c = 0; c < 3; ++c)
                turned.rgb[3 * (static_cast<std::size_t>(x) * image.height + y) + c] =
                    image.rgb[3 * (static_cast<std::size_t>(y) * image.width + x) + c];
    return turned;
}

// One pass: each row gets `width` pixels.
inline Image resized_rows(const Image& image, int width) {
    if (width == image.width) return image;
    constexpr int bits = 22;
    const double scale = static_cast<double>(image.width) / width, support = std::max(scale, 1.0);
    Image result{image.height, width, std::vector<std::uint8_t>(3ULL * image.height * width)};
    for (int x = 0; x < width; ++x) {
        const double centre = (x + 0.5) * scale;
        const int first = std::max(static_cast<int>(centre - support + 0.5), 0);
        const int last = std::min(static_cast<int>(centre + support + 0.5), image.width);
        std::vector<double> weights;
        double sum = 0;
        for (int i = first; i < last; ++i) {
            weights.push_back(std::max(0.0, 1.0 - std::abs((i - centre + 0.5) * (1.0 / support))));
            sum += weights.back();
        }
        std::vector<int> fixed;
        for (const double weight : weights) fixed.push_back(static_cast<int>(0.5 + weight / sum * (1 << bits)));
        for (int y = 0; y < image.height; ++y)
            for (int c = 0; c < 3; ++c) {
                int total = 1 << (bits - 1);
                for (int i = first; i < last; ++i)
                    total += image.rgb[3 * (static_cast<std::size_t>(y) * image.width + i) + c] * fixed[i - first];
                result.rgb[3 * (static_cast<std::size_t>(y) * width + x) + c] =
                    static_cast<std::uint8_t>(std::clamp(total >> bits, 0, 255));
            }
    }
    return result;
}

inline Image resized(const Image& image, int height, int width) {
    return transposed(resized_rows(transposed(resized_rows(image, width)), height));
}

// The image of upright RGB pixels, fitted to the frame and cropped: uint8 [height, width, 3].
inline Image cropped(Image image, const Steps& steps) {
    const auto whole = [](double side) { return static_cast<int>(std::nearbyint(side)); };  // half to even
    const int fh = steps.frame_height, fw = steps.frame_width;
    if (steps.fit == "squash") {
        image = resized(image, fh, fw);
    } else if (steps.fit == "pad") {
        const double scale = std::min(static_cast<double>(fw) / image.width, static_cast<double>(fh) / image.height);
        const int h = std::min(fh, std::max(1, whole(image.height * scale)));
        const int w = std::min(fw, std::max(1, whole(image.width * scale)));
        const Image inner = resized(image, h, w);
        image = {fh, fw, std::vector<std::uint8_t>(3ULL * fh * fw, 255)};
        for (int y = 0; y < h; ++y)
            std::copy_n(inner.rgb.begin() + 3LL * y * w, 3LL * w,
                        image.rgb.begin() + 3LL * ((y + (fh - h) / 2) * static_cast<long long>(fw) + (fw - w) / 2));
    } else {  // crop
        const int across = static_cast<int>(std::min<long long>(image.width, std::max(1LL, 16LL * image.height * fw / fh)));
        const int down = static_cast<int>(std::min<long long>(image.height, std::max(1LL, 16LL * image.width * fh / fw)));
        image = cut(image, (image.height - down) / 2, (image.width - across) / 2, down, across);
        const double scale = std::max(static_cast<double>(fw) / image.width, static_cast<double>(fh) / image.height);
        image = resized(image, std::max(fh, whole(image.height * scale)), std::max(fw, whole(image.width * scale)));
    }
    return cut(image, (image.height - steps.height) / 2, (image.width - steps.width) / 2, steps.height, steps.width);
}

// float32 [3, height, width] in 0..1.
inline std::vector<float> input_of(const Image& image) {
    const std::size_t plane = static_cast<std::size_t>(image.height) * image.width;
    std::vector<float> input(3 * plane);
    for (std::size_t i = 0; i < plane; ++i)
        for (std::size_t c = 0; c < 3; ++c) input[c * plane + i] = image.rgb[3 * i + c] / 255.0F;
    return input;
}
