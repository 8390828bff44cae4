-- A whole job. ARGV: tenant, id, user or ''. Returns {job's fields, steps' fields} or false.
local job = see(ARGV[1], ARGV[2], ARGV[3])
if not job then return false end
return {redis.call('HGETALL', job.key), redis.call('HGETALL', job.steps)}
