-- Starts a job now, whatever else is under way. ARGV: tenant, id, user or '', then what `start_job` takes
-- Returns what that returns, or {'missing'}.
local schedule = find_schedule(ARGV[1], ARGV[2], ARGV[3])
if not schedule then return {'missing'} end
local answer = start_job({unpack(ARGV, 4)})
if answer[1] == 'created' then remember_job(schedule, answer[2]) end
return answer
