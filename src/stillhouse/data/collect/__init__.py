"""Songs from providers, fetched politely."""
