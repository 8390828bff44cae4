-- A worker that stops hands its job over. ARGV: tenant, id, epoch, '1' when it has begun to execute the step
local job = find(ARGV[1], ARGV[2])
if not holds(job, tonumber(ARGV[3])) then return 0 end
local reason = 'its worker was stopped'
if ARGV[4] == '1' then
  give_up(job, 'release', reason)
else
  unbegin(job)
  move(job, 'release', job.status == 'pausing' and 'paused' or 'queued', {reason = reason})
end
return 1
