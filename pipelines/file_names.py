"""What the names of files without suffix tell: whether a volume is an image or a mask."""

import re

_LABEL_WORDS = r"(?:labels?|masks?|seg|segmentations?|gt)"
LABEL_ENDING = re.compile(rf"(?:^|[_.-]){_LABEL_WORDS}\Z", re.IGNORECASE)
LABEL_INSIDE = re.compile(rf"(?:^|[_.-]){_LABEL_WORDS}[_.-]", re.IGNORECASE)
IMAGE_ENDING = re.compile(r"[_.-](?:ct|mri?|images?|img|0000)\Z", re.IGNORECASE)
