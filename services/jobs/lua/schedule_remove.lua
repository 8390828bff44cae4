-- Its jobs stay. ARGV: tenant, id, user or ''. Returns 'removed' or 'missing'.
local schedule = find_schedule(ARGV[1], ARGV[2], ARGV[3])
if not schedule then return 'missing' end
local index = PREFIX .. 'schedules:' .. schedule.tenant
redis.call('ZREM', index, schedule.id)
redis.call('ZREM', index .. ':' .. schedule.owner, schedule.id)
redis.call('ZREM', DUE, schedule.member)
redis.call('DEL', schedule.key, schedule.waiting, schedule.jobs)
return 'removed'
