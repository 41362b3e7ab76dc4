// Embeds an image with an artifact, without Python: OpenVINO reads the artifact's model.xml, or a model.onnx.
//
//     embed_openvino MODEL IMAGE FIT FRAME_HEIGHT FRAME_WIDTH HEIGHT WIDTH [EXPECTED]
//
// The numbers are `fit`, `resize` and `crop` under `preprocessing` in manifest.json. It prints the vector, a number a line.
// With EXPECTED, the file golden/output.f32, it prints the largest difference, and fails if that is above 1e-4.
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <openvino/openvino.hpp>

#include "preprocess.hpp"

// RGB pixels on white. stb_image does not turn a JPEG as its EXIF orientation says: turn it yourself.
static Image decoded(const char* file) {
    int width = 0, height = 0, found = 0;
    unsigned char* rgba = stbi_load(file, &width, &height, &found, 4);
    if (rgba == nullptr) throw std::runtime_error(std::string(file) + ": " + stbi_failure_reason());
    Image image{height, width, {}};
    for (long long i = 0; i < static_cast<long long>(width) * height; ++i)
        for (int c = 0; c < 3; ++c)
            image.rgb.push_back(static_cast<std::uint8_t>(
                (rgba[4 * i + c] * rgba[4 * i + 3] + 255 * (255 - rgba[4 * i + 3]) + 127) / 255));
    stbi_image_free(rgba);
    return image;
}

static std::vector<float> embed(const char* model, const Image& image) {
    std::vector<float> input = input_of(image);
    const auto height = static_cast<std::size_t>(image.height), width = static_cast<std::size_t>(image.width);
    ov::Core core;
    // Without this, OpenVINO computes in bf16 where the processor can. For an artifact in bf16, give ov::element::bf16.
    const auto precision = ov::hint::inference_precision(ov::element::f32);
    auto request = core.compile_model(model, "CPU", precision).create_infer_request();
    request.set_input_tensor(ov::Tensor(ov::element::f32, {1, 3, height, width}, input.data()));
    request.infer();
    const ov::Tensor output = request.get_output_tensor();
    const float* vector = output.data<const float>();
    return {vector, vector + output.get_size()};
}

int main(int count, char** words) {
    if (count < 8) return std::fputs("see the first lines of embed_openvino.cpp\n", stderr), 2;
    const Steps steps{words[3], std::atoi(words[4]), std::atoi(words[5]), std::atoi(words[6]), std::atoi(words[7])};
    const std::vector<float> vector = embed(words[1], cropped(decoded(words[2]), steps));
    if (count == 8) {
        for (const float value : vector) std::printf("%.9g\n", value);
        return 0;
    }
    std::ifstream file(words[8], std::ios::binary);
    std::vector<float> expected(vector.size());
    file.read(reinterpret_cast<char*>(expected.data()), static_cast<std::streamsize>(4 * expected.size()));
    if (!file) return std::fputs("the expected vector is missing or too short\n", stderr), 1;
    float worst = 0;
    for (std::size_t i = 0; i < vector.size(); ++i) worst = std::max(worst, std::abs(vector[i] - expected[i]));
    std::printf("largest difference %.3g\n", worst);
    return worst <= 1e-4F ? 0 : 1;
}
