-- Gives a step that has not begun another definition. ARGV: tenant, id, user or '', step, number of edits that the
--   caller has seen, definition, plan, by, comment, definition so far, '1' when the caller administers the tenant
-- Returns {'done', status}, {'illegal', status}, {'missing'}, {'forbidden'}, {'no_step'}, {'not_waiting'}, {'stale'} or
--   {'edited'}.
local job, index = find(ARGV[1], ARGV[2], ARGV[3]), tonumber(ARGV[4])
if not job then return {'missing'} end
if index >= #job.plan then return {'no_step'} end
if not allowed('edit', job.status) then return {'illegal', job.status} end
if not may_decide(job, index, ARGV[8], ARGV[11] == '1', true) then return {'forbidden'} end
if index < job.cursor or (get_step(job, 'status', index) or 'pending') ~= 'pending' then return {'not_waiting'} end
if (redis.call('HGET', job.key, 'edits') or '0') ~= ARGV[5] then return {'stale'} end
if tonumber(redis.call('HGET', job.key, 'edited') or 0) > MOST_EDITED then return {'edited'} end

local about = cjson.encode({by = ARGV[8], comment = ARGV[9], at = now})
local version = '{"definition":' .. ARGV[10] .. ',' .. string.sub(about, 2)
local before = get_step(job, 'versions', index)
before = before and string.sub(before, 2, -2) .. ',' or ''
-- The pause between two attempts; another step does not wait for it.
if index == job.cursor and tonumber(get_step(job, 'attempts') or 0) > 0 then clear_wake(job) end
for _, field in ipairs(OF_A_RUN) do redis.call('HDEL', job.steps, index .. ':' .. field) end
-- Another definition is another effect, and has children of its own.
redis.call('HINCRBY', job.steps, index .. ':redo', 1)
set_step(job, {'definition', ARGV[6], 'versions', '[' .. before .. version .. ']'}, index)
redis.call('HSET', job.key, 'plan', ARGV[7], 'last_update', now)
redis.call('HINCRBY', job.key, 'edits', 1)
redis.call('HINCRBY', job.key, 'edited', #ARGV[10])
emit_step(job, 'step.edited', 'pending', {by = ARGV[8], comment = ARGV[9]}, index)
return {'done', job.status}
