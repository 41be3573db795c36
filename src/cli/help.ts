/** What `tallygate --help` prints. */
export const HELP = `Tallygate, the OpenAI-compatible metering reverse proxy.

  tallygate [serve]        start the proxy (npm start)
  tallygate config check   read the configuration and say what is in it, or what is wrong
                           [--file F] [--json]
  tallygate --version
  tallygate --help

Configuration: proxy.config.yaml in this folder, or the file that TALLYGATE_CONFIG names.
The environment overrides it:

  PORT, HOST            where to listen (127.0.0.1:8787)
  WORKERS               processes that share the port (1); more need DATABASE_URL and REDIS_URL
  TALLYGATE_CONFIG      the configuration file
  TALLYGATE_DATA        the data folder (.tallygate)
  DATABASE_URL          Postgres 14 or newer, in place of the embedded one
  REDIS_URL             Redis, in place of the in-process limit store
  TALLYGATE_ADMIN_KEY   an admin key of your own, for automation
  OPENAI_API_KEY, ANTHROPIC_API_KEY, GEMINI_API_KEY, …
                        turn that provider on
`
