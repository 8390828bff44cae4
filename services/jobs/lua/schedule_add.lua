-- ARGV: tenant, owner, id, definition, tick or '', when it is due or '', how many the tenant may have
-- Returns 'added' or 'full'.
local tenant, owner, id = ARGV[1], ARGV[2], ARGV[3]
local index = PREFIX .. 'schedules:' .. tenant
if redis.call('ZCARD', index) >= tonumber(ARGV[7]) then return 'full' end
redis.call('HSET', PREFIX .. 'schedule:' .. tenant .. ':' .. id, 'owner', owner, 'version', 1, 'definition', ARGV[4],
  'created_at', now, 'last_update', now, 'started', 0, 'skipped', 0)
redis.call('ZADD', index, 0, id)
redis.call('ZADD', index .. ':' .. owner, 0, id)
set_due(find_schedule(tenant, id), ARGV[5], ARGV[6])
return 'added'
