"""The worker's HTTP edge: the OpenAI API over one engine."""
