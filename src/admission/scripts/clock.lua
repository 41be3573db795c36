-- Not an act: the clock of every script, the server's own. Leases and rates go by it, so that no proxy's clock counts.
-- Gives: now_ms, and now_us for the order of holds.
local clock = redis.call('TIME')
local now_us = clock[1] * 1000000 + clock[2]
local now_ms = math.floor(now_us / 1000)
