-- Not an act: which history of data this server has. The replication id is another one after each start and after each
-- promotion of a replica, which are the moments at which data may be older than what was answered. A server that hides it
-- (`checkRedis` warns) has no name, always the same.
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%x+)') or ''
