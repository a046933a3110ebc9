"""The two towers, with open_clip's tensor names (ModifiedResNet and the GPT-style text transformer)."""
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn

EMBED, WIDTH, IMAGE, HEAD = 256, 24, 64, 64
TEXT_WIDTH, TEXT_HEADS, TEXT_LAYERS, CONTEXT = 256, 4, 3, 32


class Bottleneck(nn.Module):
    def __init__(self, cin, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(cin, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.avgpool = nn.AvgPool2d(stride) if stride > 1 else nn.Identity()
        self.conv3 = nn.Conv2d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(planes * 4)
        nn.init.zeros_(self.bn3.weight)
        self.downsample = None
        if stride > 1 or cin != planes * 4:
            self.downsample = nn.Sequential(OrderedDict([
                ("-1", nn.AvgPool2d(stride)), ("0", nn.Conv2d(cin, planes * 4, 1, bias=False)), ("1", nn.BatchNorm2d(planes * 4))]))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(self.avgpool(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class AttentionPool(nn.Module):
    def __init__(self, side, dim, heads, out):
        super().__init__()
        self.heads = heads
        self.positional_embedding = nn.Parameter(torch.randn(side * side + 1, dim) / dim ** .5)
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(dim, dim) for _ in range(3))
        self.c_proj = nn.Linear(dim, out)
        for m in (self.q_proj, self.k_proj, self.v_proj, self.c_proj):
            nn.init.normal_(m.weight, std=dim ** -.5)

    def forward(self, x):
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + self.positional_embedding
        n, t, d = x.shape
        q = self.q_proj(x[:, :1]).view(n, 1, self.heads, -1).transpose(1, 2)
        k, v = (p(x).view(n, t, self.heads, -1).transpose(1, 2) for p in (self.k_proj, self.v_proj))
        y = (q * (d // self.heads) ** -.5) @ k.transpose(-1, -2)
        return self.c_proj((y.softmax(-1) @ v).transpose(1, 2).reshape(n, d))


class ImageTower(nn.Module):
    def __init__(self, layers=(2, 2, 2, 2), width=WIDTH, image=IMAGE, head=HEAD, embed=EMBED):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width // 2, 3, 2, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width // 2)
        self.conv2 = nn.Conv2d(width // 2, width // 2, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width // 2)
        self.conv3 = nn.Conv2d(width // 2, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        cin = width
        for i, n in enumerate(layers):
            planes = width * 2 ** i
            blocks = [Bottleneck(cin if j == 0 else planes * 4, planes, 2 if i and j == 0 else 1) for j in range(n)]
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
            cin = planes * 4
        self.attnpool = AttentionPool(image // 32, cin, cin // head, embed)

    def forward(self, x):
        for c, b in ((self.conv1, self.bn1), (self.conv2, self.bn2), (self.conv3, self.bn3)):
            x = F.relu(b(c(x)))
        x = F.avg_pool2d(x, 2)
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.attnpool(x)


class Attention(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * d, d) * d ** -.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * d))
        self.out_proj = nn.Linear(d, d)

    def forward(self, x):
        n, t, d = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).view(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(y.transpose(1, 2).reshape(n, t, d))


class Block(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attn = Attention(d, heads)
        self.mlp = nn.Sequential(OrderedDict([("c_fc", nn.Linear(d, 4 * d)), ("gelu", nn.GELU()), ("c_proj", nn.Linear(4 * d, d))]))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TextTower(nn.Module):
    """Causal, so a batch needs no padding mask: what comes after the end-of-text token is never looked at."""

    def __init__(self, vocab, d=TEXT_WIDTH, heads=TEXT_HEADS, layers=TEXT_LAYERS, context=CONTEXT, embed=EMBED):
        super().__init__()
        self.token_embedding = nn.Embedding(vocab, d)
        self.positional_embedding = nn.Parameter(torch.randn(context, d) * .01)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Block(d, heads) for _ in range(layers))
        self.ln_final = nn.LayerNorm(d)
        self.text_projection = nn.Parameter(torch.randn(d, embed) * d ** -.5)
        nn.init.normal_(self.token_embedding.weight, std=.02)
        for b in self.transformer.resblocks:
            for p, s in ((b.attn.in_proj_weight, d ** -.5), (b.attn.out_proj.weight, d ** -.5 * (2 * layers) ** -.5),
                         (b.mlp.c_fc.weight, (2 * d) ** -.5), (b.mlp.c_proj.weight, d ** -.5 * (2 * layers) ** -.5)):
                nn.init.normal_(p, std=s)

    def forward(self, ids):
        x = self.token_embedding(ids) + self.positional_embedding[:ids.shape[1]]
        for b in self.transformer.resblocks:
            x = b(x)
        x = x[torch.arange(len(ids)), ids.argmax(-1)]  # the end-of-text token has the highest id
        return self.ln_final(x) @ self.text_projection


class EMA:
    """Moving average of weights and running statistics, quicker at the start."""

    def __init__(self, model, decay):
        self.model, self.decay, self.n = model, decay, 0
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    @torch.no_grad()
    def update(self):
        self.n += 1
        d = min(self.decay, (1 + self.n) / (20 + self.n))
        src = self.model.state_dict()
        fl = [k for k, v in self.state.items() if v.is_floating_point()]
        torch._foreach_lerp_([self.state[k] for k in fl], [src[k] for k in fl], 1 - d)
        for k in self.state:
            if not self.state[k].is_floating_point():
                self.state[k].copy_(src[k])


def groups(model, decay):
    """Weight decay on matrices only."""
    ps = [p for p in model.parameters() if p.requires_grad]
    return [{"params": [p for p in ps if p.ndim > 1], "weight_decay": decay}, {"params": [p for p in ps if p.ndim <= 1], "weight_decay": 0.}]
