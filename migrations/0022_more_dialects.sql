-- Providers made by API may speak more APIs than three.

ALTER TABLE providers DROP CONSTRAINT providers_dialect_check;
ALTER TABLE providers ADD CONSTRAINT providers_dialect_check
  CHECK (dialect IN ('openai', 'anthropic', 'google', 'cohere', 'bedrock', 'ollama', 'elevenlabs'));
