"""prepare.py WORK MODEL: what the engines load, made once: a checkpoint of random weights
(an open_clip directory), its image tower as ONNX, and that in 8 bits for those who can."""
import json
import os
import sys
from pathlib import Path

import numpy as np
import torchvision_cpu  # noqa: F401
import open_clip
import torch
from safetensors.torch import save_file

PICTURES = 32


def pictures(side=224):
    """uint8 [PICTURES, side, side, 3]: blobs of colour and grain."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side] / side
    out = np.empty((PICTURES, side, side, 3), np.uint8)
    for i in range(PICTURES):
        a = rng.uniform(0, 8, (3, 4))
        for c in range(3):
            wave = np.sin(a[c, 0] * x * 4 + a[c, 1]) * np.cos(a[c, 2] * y * 4 + a[c, 3])
            out[i, :, :, c] = np.clip(128 + 90 * wave + rng.normal(0, 12, (side, side)), 0, 255)
    return out


def pixels(bytes_, mean, std):
    x = bytes_.astype(np.float32).transpose(0, 3, 1, 2) / np.float32(255)
    shape = (1, 3, 1, 1)
    return np.ascontiguousarray((x - np.float32(mean).reshape(shape)) /
                                np.float32(std).reshape(shape))


def settle_norms(model, x):
    """A ResNet begins with residual branches of zero and norms that know no picture: its
    embeddings would all be alike, and no fault would show. So the norms are drawn, and take
    their statistics from the pictures."""
    norms = [m for m in model.visual.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        torch.nn.init.uniform_(norm.weight, 0.3, 0.9)
        torch.nn.init.normal_(norm.bias, std=0.1)
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean
    if norms:
        model.visual.train()
        with torch.no_grad():
            model.visual(torch.from_numpy(x))
    model.eval()


def checkpoint(directory, name):
    torch.manual_seed(0)
    model = open_clip.create_model(name).eval()
    recipe = open_clip.get_model_preprocess_cfg(model)
    x = pixels(pictures(), recipe["mean"], recipe["std"])
    settle_norms(model, x)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()},
              directory / "open_clip_model.safetensors")
    (directory / "open_clip_config.json").write_text(json.dumps({
        "model_cfg": open_clip.get_model_config(name),
        "preprocess_cfg": {k: recipe[k] for k in ("mean", "std")}}))
    np.save(directory / "pixels.npy", x)
    return model


def export(directory, model):
    x = torch.from_numpy(np.load(directory / "pixels.npy")[:2])
    torch.onnx.export(model.visual, (x,), str(directory / "fp32.onnx"), input_names=["x"],
                      output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
                      opset_version=17, dynamo=False)


def quantise_onnxruntime(directory):
    """Dynamic, per channel; it has no fast convolutions in 8 bits, so those stay."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process
    source = directory / "fp32.onnx"
    try:
        quant_pre_process(source, directory / "pre.onnx", skip_symbolic_shape=True)
        source = directory / "pre.onnx"
    except Exception as fault:
        print("quant_pre_process:", fault)
    quantize_dynamic(source, directory / "int8.onnx", per_channel=True,
                     weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul", "Gemm"])
    if source.name == "pre.onnx":
        os.unlink(source)


def quantise_openvino(directory, transformer):
    """NNCF's static quantisation, calibrated on the pictures that are measured; for a
    transformer also 8-bit weights, whose activations OpenVINO rounds as they come."""
    import nncf
    import openvino
    data = np.load(directory / "pixels.npy")
    read = openvino.Core().read_model
    static = nncf.quantize(read(directory / "fp32.onnx"),
                           nncf.Dataset([x[None] for x in data], lambda x: {"x": x}),
                           model_type=nncf.ModelType.TRANSFORMER if transformer else None,
                           preset=nncf.QuantizationPreset.MIXED, subset_size=len(data))
    openvino.save_model(static, directory / "static.xml")
    if transformer:
        weights = nncf.compress_weights(read(directory / "fp32.onnx"),
                                        mode=nncf.CompressWeightsMode.INT8_SYM)
        openvino.save_model(weights, directory / "weights.xml")


def main(work, name):
    directory = Path(work) / name
    done = directory / "prepared"
    if done.exists():
        return
    directory.mkdir(parents=True, exist_ok=True)
    model = checkpoint(directory, name)
    export(directory, model)
    transformer = not name.startswith("RN")
    if transformer:
        quantise_onnxruntime(directory)
    quantise_openvino(directory, transformer)
    pictures().tofile(directory / "pictures.rgb")
    done.touch()


if __name__ == "__main__":
    main(*sys.argv[1:])
