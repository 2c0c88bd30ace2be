"""What training needs beyond models, registered in mmanchor's registries."""
