-- CIFAR-10's: OpenAI and CLIP_benchmark use the same for both.
local beside = ...
return {
  name = "cifar100",
  version = "1",
  about = "CIFAR: small photographs",
  templates = beside "cifar10.lua".templates,
}
