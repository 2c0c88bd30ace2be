"""The map that tokens form, and where it lies in the image."""

from dataclasses import dataclass

from ..utils.errors import UserError

# Those of the backbones of OpenMMLab, the usual ones first.
_STRIDES = (16, 32, 8, 64, 4, 14, 2)
_MOST_EXTRA = 2


@dataclass(frozen=True)
class TokenMap:
    """Tokens as a map over the network's input.

    Args:
        height: In tokens.
        width: In tokens.
        stride: Distance of neighbors, in pixels of the network's input (rows,
            columns).
        num_extra: Extra tokens, such as a class token, before those of the map.
    """

    height: int
    width: int
    stride: tuple[float, float]
    num_extra: int = 0

    @property
    def num_tokens(self) -> int:
        """N, extra tokens included."""
        return self.num_extra + self.height * self.width

    @classmethod
    def of_map(cls, height: int, width: int, size: tuple[int, int], extra: int = 0) -> 'TokenMap':
        """A map of known height and width.

        Args:
            height: In tokens.
            width: In tokens.
            size: (H, W) of the network's input, in pixels.
            extra: Number of extra tokens.

        Example:
            >>> TokenMap.of_map(4, 4, (224, 224)).stride
            (64, 64)
        """
        for stride in _STRIDES:
            # Rounded up: a last token may reach beyond the image.
            if (-(-size[0] // stride), -(-size[1] // stride)) == (height, width):
                return cls(height, width, (stride, stride), extra)
        return cls(height, width, (size[0] / height, size[1] / width), extra)

    @classmethod
    def of_tokens(cls, number: int, size: tuple[int, int]) -> 'TokenMap':
        """Infer the map from the number of tokens.

        Args:
            number: N.
            size: (H, W) of the network's input, in pixels.

        Raises:
            UserError: If no usual stride gives so many tokens.

        Example:
            >>> TokenMap.of_tokens(197, (224, 224))
            TokenMap(height=14, width=14, stride=(16, 16), num_extra=1)
        """
        for extra in range(_MOST_EXTRA + 1):
            for stride in _STRIDES:
                height, width = (-(-side // stride) for side in size)
                if height * width + extra == number:
                    return cls(height, width, (stride, stride), extra)
        raise UserError(
            f'{number} tokens form no map of an input of {size[0]} x {size[1]} pixels; '
            f'strides {", ".join(map(str, sorted(_STRIDES)))} with up to {_MOST_EXTRA} extra '
            'tokens are known'
        )
