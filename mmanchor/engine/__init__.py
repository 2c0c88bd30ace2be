"""What training needs beyond models, registered in mmanchor's registries."""

from .. import registry  # it says what is wrong where the stack is not supported
