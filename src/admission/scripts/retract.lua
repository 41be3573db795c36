-- Takes an organization off the list of those that recover, unless it recovers again under another epoch.
-- KEYS: 1 the list, a hash organization -> epoch. ARGV: 1 organization, 2 epoch. Returns: 1 where it was taken off.
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
return redis.call('HDEL', KEYS[1], ARGV[1])
