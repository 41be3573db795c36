/**
 * Endpoints of providers whose own APIs are spoken at `/{provider}/…` alone. Paths stand as they follow the provider's
 * base URL, here without a version. (Cohere, Amazon Bedrock, Ollama and ElevenLabs API references.)
 */
import { bedrockConverse, bedrockConverseStream, bedrockInvoke, bedrockInvokeStream } from "./bedrock.ts"
import { cohereChat, cohereChatV1, cohereEmbed, cohereFree, cohereRerank } from "./cohere.ts"
import { elevenLabsSpeech } from "./elevenlabs-speech.ts"
import { type Endpoint, modelCall } from "./endpoint-row.ts"
import { ollamaEmbed, ollamaGenerate } from "./ollama.ts"

export const NATIVE_ENDPOINTS: readonly Endpoint[] = [
  modelCall("cohere", "cohere.chat", "/v2/chat", cohereChat),
  modelCall("cohere", "cohere.embed", "/v2/embed", cohereEmbed),
  modelCall("cohere", "cohere.rerank", "/v2/rerank", cohereRerank),
  modelCall("cohere", "cohere.v1.chat", "/v1/chat", cohereChatV1),
  modelCall("cohere", "cohere.v1.generate", "/v1/generate", cohereChatV1),
  modelCall("cohere", "cohere.v1.embed", "/v1/embed", cohereEmbed),
  modelCall("cohere", "cohere.v1.rerank", "/v1/rerank", cohereRerank),
  modelCall("cohere", "cohere.v1.tokenize", "/v1/tokenize", cohereFree),
  modelCall("cohere", "cohere.v1.detokenize", "/v1/detokenize", cohereFree),
  modelCall("bedrock", "bedrock.converse", "/model/{model}/converse", bedrockConverse),
  modelCall("bedrock", "bedrock.converse_stream", "/model/{model}/converse-stream", bedrockConverseStream),
  modelCall("bedrock", "bedrock.invoke", "/model/{model}/invoke", bedrockInvoke),
  modelCall("bedrock", "bedrock.invoke_stream", "/model/{model}/invoke-with-response-stream", bedrockInvokeStream),
  modelCall("ollama", "ollama.chat", "/api/chat", ollamaGenerate),
  modelCall("ollama", "ollama.generate", "/api/generate", ollamaGenerate),
  modelCall("ollama", "ollama.embed", "/api/embed", ollamaEmbed),
  modelCall("ollama", "ollama.embeddings", "/api/embeddings", ollamaEmbed),
  modelCall("elevenlabs", "elevenlabs.speech", "/v1/text-to-speech/{any}", elevenLabsSpeech),
  modelCall("elevenlabs", "elevenlabs.speech.stream", "/v1/text-to-speech/{any}/stream", elevenLabsSpeech),
  modelCall("elevenlabs", "elevenlabs.speech.timed", "/v1/text-to-speech/{any}/with-timestamps", elevenLabsSpeech),
  modelCall(
    "elevenlabs",
    "elevenlabs.speech.timed_stream",
    "/v1/text-to-speech/{any}/stream/with-timestamps",
    elevenLabsSpeech,
  ),
]
