"""OpenAI's Responses API over chat completions: translation both ways, stored responses."""
