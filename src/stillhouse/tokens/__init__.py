"""Everything about text and token ids: tokenizers, chat templates, which tokens are trained on."""
