/* The names that a checkpoint's pickle may hold. None of them is ever called: a name that
 * is in no list is refused because it shows that the file is something else. */
#include "pickle.h"

#include <string.h>

/* A name that ends in '*' stands for all that begin so. */
static const char *const allowed[] = {
    /* state dicts: torch/_utils.py, torch/_tensor.py, torch/storage.py */
    "collections.OrderedDict",
    "torch._utils._rebuild_*",
    "torch._tensor._rebuild_from_type_v2",
    "torch.nn.parameter.Parameter",
    "torch.nn.parameter.Buffer",
    "torch.Tensor",
    "torch.Size",
    "torch.device",
    "torch.serialization._get_layout",
    "torch.storage.TypedStorage",
    "torch.storage._TypedStorage",
    "torch.storage.UntypedStorage",
    "torch.storage._UntypedStorage",
    "torch.BFloat16Storage",
    "torch.BoolStorage",
    "torch.ByteStorage",
    "torch.CharStorage",
    "torch.ComplexDoubleStorage",
    "torch.ComplexFloatStorage",
    "torch.DoubleStorage",
    "torch.FloatStorage",
    "torch.HalfStorage",
    "torch.IntStorage",
    "torch.LongStorage",
    "torch.QInt32Storage",
    "torch.QInt8Storage",
    "torch.QUInt8Storage",
    "torch.ShortStorage",
    "torch.UntypedStorage",
    "torch.bfloat16",
    "torch.bool",
    "torch.complex128",
    "torch.complex64",
    "torch.float16",
    "torch.float32",
    "torch.float64",
    "torch.float8_e4m3fn",
    "torch.float8_e5m2",
    "torch.int16",
    "torch.int32",
    "torch.int64",
    "torch.int8",
    "torch.per_channel_affine", /* quantised: refused by the tensor's name */
    "torch.per_tensor_affine",
    "torch.uint16",
    "torch.uint32",
    "torch.uint64",
    "torch.uint8",
    /* TorchScript: torch/csrc/jit/serialization/pickler.cpp */
    "__torch__.*",
    "torch.jit._pickle.*",
    /* training checkpoints: options, counters and scalars beside the state dict */
    "argparse.Namespace",
    "collections.Counter",
    "collections.defaultdict",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib._local.PosixPath",
    "pathlib.WindowsPath",
    "_codecs.encode",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.numeric._frombuffer",
    "numpy._core.numeric._frombuffer",
    "builtins.bytearray",
    "builtins.complex",
    "builtins.dict",
    "builtins.float",
    "builtins.frozenset",
    "builtins.int",
    "builtins.list",
    "builtins.set",
    "__builtin__.bytearray",
    "__builtin__.complex",
    "__builtin__.dict",
    "__builtin__.float",
    "__builtin__.frozenset",
    "__builtin__.int",
    "__builtin__.list",
    "__builtin__.set",
};

bool ce_pickle_allows(const char *global) {
    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++) {
        size_t size = strlen(allowed[i]);
        if (allowed[i][size - 1] == '*' ? strncmp(global, allowed[i], size - 1) == 0
                                        : strcmp(global, allowed[i]) == 0)
            return true;
    }
    return false;
}
