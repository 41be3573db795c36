#!/bin/sh
# Watches budgets from cron: asks a running Tallygate, and tells of it when something has changed since the last time.
#
#   */15 * * * *  /opt/tallygate/examples/cron/budget-watch.sh
#
# What it asks with:
#   TALLYGATE_URL, TALLYGATE_ADMIN_KEY   as for `tallygate budgets` (a key with the role viewer is enough)
#   TALLYGATE       the command, where it is not on the path: "npx --prefix /opt/tallygate tallygate"
#   WARN_PERCENT    from which percentage on a budget is a warning (80)
# Whom it tells, beside its output, which cron mails:
#   MAIL_TO         an address for mail(1)
#   WEBHOOK_URL     gets {"text": "..."}, as Slack, Mattermost and many others take it
#   PING_URL        is asked after each run that could tell: a dead man's switch such as healthchecks.io
#   STATE_FILE      where it remembers the last state
#
# The exit code is that of `tallygate budgets`: 0 all is well, 1 a budget is nearly used up or will be, 2 a budget is used
# up, 3 it cannot be told. A message that cannot be delivered is told on the error stream and tried again the next time.

set -u

tallygate=${TALLYGATE:-tallygate}
state_file=${STATE_FILE:-${XDG_STATE_HOME:-${HOME:-/tmp}}/.tallygate-budget-watch}

# Unquoted on purpose: the command may be of several words.
# shellcheck disable=SC2086
budgets=$($tallygate budgets --warn "${WARN_PERCENT:-80}" 2>&1)
code=$?

case $code in
  0) title="Tallygate: all budgets are well again" ;;
  1) title="Tallygate: a budget is running out" ;;
  2) title="Tallygate: a budget is used up" ;;
  # Whatever else keeps the command from running cannot tell either.
  *) code=3 title="Tallygate: budgets cannot be told" ;;
esac

# Text as the inside of a JSON string.
json_text() {
  printf '%s' "$1" | tr -d '\r' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/	/\\t/g' | awk '{ printf "%s%s", (NR > 1 ? "\\n" : ""), $0 }'
}

# Succeeds where everyone has been told.
tell() {
  told=0
  printf '%s\n\n%s\n' "$title" "$budgets"
  if [ -n "${MAIL_TO:-}" ]; then
    printf '%s\n' "$budgets" | mail -s "$title" "$MAIL_TO" || told=1
  fi
  if [ -n "${WEBHOOK_URL:-}" ]; then
    # The backticks are Markdown's.
    # shellcheck disable=SC2016
    printf '{"text":"%s\\n```%s```"}' "$(json_text "$title")" "$(json_text "$budgets")" |
      curl -fsS -m 20 -o /dev/null -H 'Content-Type: application/json' --data-binary @- "$WEBHOOK_URL" || told=1
  fi
  [ $told -eq 0 ] || echo "budget-watch: not everyone could be told; it is tried again the next time" >&2
  return $told
}

# A first run in which all is well is no news.
last=$(cat "$state_file" 2>/dev/null || echo 0)
if [ "$code" = "$last" ] || tell; then
  (umask 077 && echo "$code" >"$state_file") || echo "budget-watch: $state_file cannot be written" >&2
fi

if [ -n "${PING_URL:-}" ] && [ $code -ne 3 ]; then
  curl -fsS -m 20 -o /dev/null "$PING_URL" || echo "budget-watch: $PING_URL does not answer" >&2
fi

exit $code
