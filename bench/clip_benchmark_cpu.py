"""CLIP_benchmark's own command line, behind torchvision_cpu."""
import torchvision_cpu  # noqa: F401

from clip_benchmark.cli import main

if __name__ == "__main__":
    main()
