"""Short messages to a customer support, annotated with intent, product, urgency and mood."""
