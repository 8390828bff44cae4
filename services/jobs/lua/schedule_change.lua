-- ARGV: tenant, id, version, definition, tick or '', when it is due or '', '1' when it is enabled
-- Returns 'changed', 'stale' or 'missing'.
local schedule = find_schedule(ARGV[1], ARGV[2])
if not schedule then return 'missing' end
if schedule.version ~= ARGV[3] then return 'stale' end
redis.call('HSET', schedule.key, 'definition', ARGV[4], 'last_update', now)
redis.call('HINCRBY', schedule.key, 'version', 1)
if ARGV[7] ~= '1' then
  redis.call('HINCRBY', schedule.key, 'skipped', redis.call('LLEN', schedule.waiting))
  redis.call('DEL', schedule.waiting)
end
set_due(schedule, ARGV[5], ARGV[6])
return 'changed'
