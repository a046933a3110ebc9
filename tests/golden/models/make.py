"""Writes the tiny models beside this file, and what PyTorch computes for them in float64.

    python make.py [NAME ...]

Needs torch, torchvision, transformers, open_clip_torch, sentencepiece and protobuf; nothing
in the build does. Made with torch 2.13, transformers 5.23, open_clip 3.3, sentencepiece 0.2.3.
The weights are random, and no tensor is at its default. The same versions give the same bytes,
but for the legacy pytorch_model.bin, whose storages are named by their addresses in memory."""
import copy, gzip, json, os, shutil, sys, tempfile, zlib

import numpy as np
import open_clip
import sentencepiece
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from transformers.models.chinese_clip.image_processing_pil_chinese_clip import ChineseCLIPImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES = ["rgb-37x53.png", "grey.png"]
TEXTS = ["", "a photo of a cat", "It's 3 DOGS, isn't it?",
         "caf\u00e9 \uff21\uff22 \u4e00\u53ea\u732b\U0001f431", "one two three " * 20]
VOCABULARY = """[PAD] [UNK] [CLS] [SEP] [MASK] ! ' , . ? ##a ##e ##s ##t a b c d e f g h i k n o p r s t u
cat dog dogs photo of it is one two three 3 ##n ##af ##fe un \u4e00 \u53ea \u732b \u72d7 \u5f20""".split()


# ---------------------------------------------------------------- weights

def randomise(model, name, pixels=None):
    """Values that keep activations of order one and attention far from uniform."""
    gen = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    normal = lambda t, scale: t.copy_(torch.randn(t.shape, generator=gen) * scale)
    uniform = lambda t, low, high: t.copy_(torch.rand(t.shape, generator=gen) * (high - low) + low)
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key.endswith("logit_scale"):
                uniform(p, 2.5, 4)
            elif key.endswith("logit_bias"):
                uniform(p, -10, -5)
            elif p.ndim < 2:
                uniform(p, 0.5, 1.5) if key.endswith(("weight", "gamma")) else normal(p, 0.2)
            elif "embedding" in key and "patch" not in key or key.endswith("probe"):
                normal(p, 0.5)
            else:
                across = key.endswith(("text_projection", "visual.proj"))
                normal(p, 1.4 / np.sqrt(p.shape[0] if across else p[0].numel()))
        norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
        if norms:  # statistics of real pictures, blurred: else all look alike
            for m in norms:
                m.momentum = None
            model.train().visual(pixels)
            for m in norms:
                normal(noise := torch.empty_like(m.running_mean), 0.2)
                m.running_mean.add_(noise)
                m.running_var.mul_(uniform(noise, 0.5, 1.5))
    return model.eval()


def expect(folder, library, model, ids, pixels, encode_text, encode_image, **cases):
    """expected.safetensors and cases.json, in the layout of the large reference data."""
    results = {}
    for dtype in (torch.float32, torch.float64):
        m = copy.deepcopy(model).to(dtype).eval()
        with torch.no_grad():
            results[dtype] = {"text_embeds": encode_text(m, ids), "image_embeds": encode_image(m, pixels.to(dtype))}
    exact, observed, tolerance = results[torch.float64], {}, {}
    for key, value in exact.items():
        rms = value.pow(2).mean().sqrt().item()
        worst = (results[torch.float32][key] - value).abs().max().item()
        observed[key] = {"max_abs": float(f"{worst:.3e}"), "rms_of_values": float(f"{rms:.4g}")}
        tolerance[key] = {"max_abs": float(f"{max(20 * worst, 2e-5 * rms):.1e}")}
    save_file({"input_ids": ids.contiguous(), "pixel_values": pixels.contiguous(),
               **{k: v.float().contiguous() for k, v in exact.items()}}, f"{folder}/expected.safetensors")
    write_json(f"{folder}/cases.json", {
        "model": os.path.basename(folder), "library": f"{library}, torch {torch.__version__}",
        "texts": TEXTS, "images": IMAGES[:len(pixels)],
        "context_length": ids.shape[1], "logit_scale_exp": model.logit_scale.double().exp().item(), **cases,
        "observed_fp32_vs_fp64": observed, "suggested_tolerance": tolerance})


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=False, indent=1)
        f.write("\n")


def pictures():
    return [Image.open(f"{HERE}/../images/{name}").convert("RGB") for name in IMAGES]


# ---------------------------------------------------------------- tokenizers

def merges():
    with open(f"{HERE}/../../../core/data/clip_bpe_merges.txt", encoding="utf-8") as f:
        return f.read().split("\n")[1:]


def write_bpe(folder, count):
    """vocab.json and merges.txt of CLIP's first merges; returns the size of the vocabulary."""
    first = merges()[:count]
    letters = list(open_clip.tokenizer.bytes_to_unicode().values())
    tokens = letters + [x + "</w>" for x in letters] + ["".join(m.split()) for m in first]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    with open(f"{folder}/vocab.json", "w", encoding="utf-8") as f:
        json.dump({t: i for i, t in enumerate(tokens)}, f, ensure_ascii=False)
    with open(f"{folder}/merges.txt", "w", encoding="utf-8") as f:
        f.write("#version: 0.2\n" + "\n".join(first) + "\n")
    return len(tokens)


def bpe_ids(folder, context):
    with open(f"{folder}/merges.txt", "rb") as f, tempfile.TemporaryDirectory() as d:
        with gzip.open(f"{d}/bpe.gz", "wb") as g:
            g.write(f.read().rstrip(b"\n"))
        return open_clip.SimpleTokenizer(f"{d}/bpe.gz", context_length=context)(TEXTS)


def train_pieces(folder):
    """A SentencePiece model; its normalisation is four rules, for the real table has 240 KB."""
    with tempfile.TemporaryDirectory() as d:
        here = os.getcwd()
        os.chdir(d)  # the model stores the paths that it was trained with
        with open("rules", "w") as f:
            f.write("FF21\t41\nFF22\t42\nFB01\t66 69\nA0\t20\n")
        words = [m.replace(" ", "")[:-4] for m in merges()[:4000] if m.endswith("</w>") and len(m) > 8]
        with open("corpus", "w") as f:
            for i, (a, b) in enumerate(zip(words, words[::-1])):
                f.write(f"a photo of the {a} and {i} {b}\n")
        sentencepiece.SentencePieceTrainer.train(
            input="corpus", model_prefix="spiece", vocab_size=100, model_type="unigram",
            normalization_rule_tsv="rules", pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1, minloglevel=2)
        os.chdir(here)
        shutil.copy(f"{d}/spiece.model", f"{folder}/spiece.model")


def pieces_as_json(folder):
    """The same tokenizer as tokenizer.json, and no spiece.model."""
    from sentencepiece import sentencepiece_model_pb2
    proto = sentencepiece_model_pb2.ModelProto.FromString(open(f"{folder}/spiece.model", "rb").read())
    vocabulary = [(p.piece, p.score) for p in proto.pieces]
    t = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, proto.trainer_spec.unk_id, False))
    n = tokenizers.normalizers
    marks = tokenizers.Regex(r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]")
    t.normalizer = n.Sequence([n.Lowercase(), n.Replace(marks, ""),
                               n.Replace(tokenizers.Regex(r"\s+"), " "), n.Strip(),
                               n.Precompiled(proto.normalizer_spec.precompiled_charsmap)])
    t.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    t.post_processor = tokenizers.processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    t.add_special_tokens(["<pad>", "</s>", "<unk>"])
    t.save(f"{folder}/tokenizer.json")
    os.remove(f"{folder}/spiece.model")
    write_json(f"{folder}/tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "pad_token": "</s>",
        "unk_token": "<unk>", "model_max_length": 16})
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


# ---------------------------------------------------------------- transformers

def features(result):
    return getattr(result, "pooler_output", result)


def expect_transformers(folder, model, tokenizer, processor, context, **cases):
    batch = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=context, return_tensors="pt")
    ids, mask = batch["input_ids"], batch.get("attention_mask")
    masked = {} if isinstance(model, transformers.SiglipModel) else {"attention_mask": mask}
    pixels = torch.as_tensor(np.stack(processor(pictures(), return_tensors="np")["pixel_values"])).float()
    expect(folder, f"transformers {transformers.__version__}", model, ids, pixels,
           lambda m, i: features(m.get_text_features(input_ids=i, **masked)),
           lambda m, p: features(m.get_image_features(pixel_values=p)), **cases)


def clip(folder, name):
    size, context = 15, 12
    vocabulary = write_bpe(folder, 20)
    tower = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=20, hidden_act="quick_gelu")
    config = transformers.CLIPConfig(
        text_config=dict(tower, vocab_size=vocabulary, max_position_embeddings=context,
                         bos_token_id=vocabulary - 2, eos_token_id=vocabulary - 1),
        vision_config=dict(tower, hidden_size=12, num_attention_heads=3, image_size=size, patch_size=5),
        projection_dim=10)
    model = randomise(transformers.CLIPModel(config), name)
    processor = CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})
    processor.save_pretrained(folder)
    write_json(f"{folder}/tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer", "model_max_length": context})
    if "sharded" in name:
        model = model.bfloat16()
        model.save_pretrained(folder, max_shard_size=9000)
    else:
        model.config.save_pretrained(folder)
        torch.save(model.state_dict(), f"{folder}/pytorch_model.bin", _use_new_zipfile_serialization="legacy" not in name)
    expect_transformers(folder, model, transformers.CLIPTokenizer.from_pretrained(folder), processor, context)


def chinese_clip(folder, name):
    size, context = 18, 14
    with open(f"{folder}/vocab.txt", "w", encoding="utf-8") as f:
        f.write("\n".join(VOCABULARY) + "\n")
    config = transformers.ChineseCLIPConfig(
        text_config=dict(vocab_size=len(VOCABULARY), hidden_size=8, num_hidden_layers=2, num_attention_heads=2,
                         intermediate_size=28, max_position_embeddings=context,
                         hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        vision_config=dict(hidden_size=12, num_hidden_layers=1, num_attention_heads=3, intermediate_size=24,
                           image_size=size, patch_size=6),
        projection_dim=10)
    model = randomise(transformers.ChineseCLIPModel(config), name)
    model.save_pretrained(folder)
    tokenizer = transformers.BertTokenizer(vocab={t: i for i, t in enumerate(VOCABULARY)}, model_max_length=context)
    tokenizer.save_pretrained(folder)
    os.remove(f"{folder}/tokenizer.json")
    processor = ChineseCLIPImageProcessorPil(size={"height": size, "width": size}, do_center_crop=False)
    processor.save_pretrained(folder)
    expect_transformers(folder, model, tokenizer, processor, context)


def siglip(folder, name):
    size, context = 18, 16
    train_pieces(folder)
    tower = dict(num_hidden_layers=1, intermediate_size=20)
    config = transformers.SiglipConfig(
        text_config=dict(tower, vocab_size=100, hidden_size=8, num_attention_heads=2,
                         max_position_embeddings=context, projection_size=12, bos_token_id=None, eos_token_id=1, pad_token_id=1),
        vision_config=dict(tower, hidden_size=12, num_attention_heads=3, image_size=size, patch_size=6))
    model = randomise(transformers.SiglipModel(config), name)
    model.save_pretrained(folder)
    if "json" in name:
        tokenizer = pieces_as_json(folder)
    else:
        tokenizer = transformers.SiglipTokenizer(f"{folder}/spiece.model", model_max_length=context,
                                                 model_input_names=["input_ids"])
        tokenizer.save_pretrained(folder)
    processor = SiglipImageProcessorPil(size={"height": size, "width": size})
    processor.save_pretrained(folder)
    expect_transformers(folder, model, tokenizer, processor, context, logit_bias=model.logit_bias.item())


# ---------------------------------------------------------------- open_clip and OpenAI

def expect_open_clip(folder, model, transform, context, **cases):
    pixels = torch.stack([transform(p) for p in pictures()[:1 if "rn" in folder else None]])
    expect(folder, f"open_clip {open_clip.__version__}", model, bpe_ids(folder, context), pixels,
           lambda m, i: m.encode_text(i), lambda m, p: m.encode_image(p), **cases)


def open_clip_model(folder, name):
    vocabulary = write_bpe(folder, 20)
    text = dict(context_length=16, vocab_size=vocabulary, width=8, heads=2, layers=1)
    preprocess = dict(mean=[0.5, 0.4, 0.45], std=[0.3, 0.25, 0.2], interpolation="bilinear", resize_mode="squash")
    if "rn" in name:
        vision = dict(image_size=32, layers=[1, 1, 2, 1], width=2, head_width=32, patch_size=None)
        config = dict(embed_dim=10, vision_cfg=vision, text_cfg=text)
    else:  # as many options as go together
        vision = dict(image_size=[12, 18], layers=2, width=12, head_width=6, patch_size=6, mlp_ratio=2.5, no_ln_pre=True,
                      ls_init_value=0.1, final_ln_after_pool=True, pool_type="avg",
                      norm_kwargs={"eps": 1e-3}, act_kwargs={"approximate": "tanh"})
        text.update(mlp_ratio=2.5, ls_init_value=0.1, no_causal_mask=True, pool_type="last", proj_bias=True,
                    norm_kwargs={"eps": 1e-4}, act_kwargs={"approximate": "tanh"})
        config = dict(embed_dim=10, vision_cfg=vision, text_cfg=text, custom_text=True, init_logit_bias=-10)
    write_json(f"{folder}/open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})
    kind = open_clip.CustomTextCLIP if config.get("custom_text") else open_clip.CLIP
    model = kind(**{k: copy.deepcopy(v) for k, v in config.items() if k != "custom_text"})
    gen = torch.Generator().manual_seed(1)
    model = randomise(model, name, torch.randn(16, 3, 32, 32, generator=gen) if "rn" in name else None)
    if "rn" in name:
        model = model.half()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, f"{folder}/open_clip_model.safetensors")
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    bias = {"logit_bias": model.logit_bias.item()} if model.logit_bias is not None else {}
    expect_open_clip(folder, model, transform, 16, **bias)


def openai(folder, name):
    """A TorchScript archive with the names and types of the published ones."""
    size, context, vocabulary = 12, 12, write_bpe(folder, 0)
    model = open_clip.CLIP(24, dict(image_size=size, layers=1, width=64, patch_size=4),
                           dict(context_length=context, vocab_size=vocabulary, width=64, heads=1, layers=1),
                           quick_gelu=True, cast_dtype=torch.float16)
    open_clip.model.convert_weights_to_fp16(randomise(model, name))
    model.token_embedding.half()  # the published have it in fp32
    mask = model.attn_mask
    del model.context_length, model.vocab_size, model.attn_mask
    model.attn_mask = mask  # no buffer, as in the published
    for key, value in (("input_resolution", size), ("context_length", context), ("vocab_size", vocabulary)):
        model.register_buffer(key, torch.tensor(value))
    ids, image = torch.full((2, context), vocabulary - 1), torch.zeros(2, 3, size, size).half()
    archive = f"{folder}/{name}.pt"
    inputs = {"forward": (image, ids), "encode_image": image, "encode_text": ids}
    with torch.no_grad():
        torch.jit.save(torch.jit.trace_module(model, inputs, check_trace=False), archive)
    drop_debug_records(archive)
    state = torch.jit.load(archive).state_dict()
    model = open_clip.model.build_model_from_openai_state_dict(state, cast_dtype=None).float()
    expect_open_clip(folder, model, open_clip.image_transform(size, is_train=False), context)


def drop_debug_records(path):
    """The positions in the source, which name files of this machine."""
    reader = torch._C.PyTorchFileReader(path)
    written_anew = ("version", "byteorder", ".data/serialization_id")
    records = {r: reader.get_record(r) for r in reader.get_all_records()
               if not r.endswith(".debug_pkl") and r not in written_anew}
    del reader
    writer = torch._C.PyTorchFileWriter(path)
    for name, data in records.items():
        writer.write_record(name, data, len(data))
    writer.write_end_of_file()


MODELS = {
    "tiny-clip-bin": clip, "tiny-clip-bin-legacy": clip, "tiny-clip-sharded": clip,
    "tiny-chinese-clip": chinese_clip, "tiny-siglip": siglip, "tiny-siglip-json": siglip,
    "tiny-openclip-options": open_clip_model, "tiny-openclip-rn": open_clip_model, "tiny-openai-vit": openai}

if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        folder = f"{HERE}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        MODELS[name](folder, name)
