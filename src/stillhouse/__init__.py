"""Stillhouse: knowledge distillation for language models, from raw rows to a registered student."""
