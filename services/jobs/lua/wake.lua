-- What time does: a `wait` or a pause between attempts is over, nobody decided on a breakpoint, a deadline has passed.
-- ARGV: how many at most of each. Returns how many.
local due = redis.call('ZRANGE', TIMERS, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  local job = find(split(member))
  if job and job.status == 'scheduled' then
    if step(job)[1] == WAIT and get_step(job, 'status') == 'in_progress' then
      close(job, 'passed', 'null', {})
    else
      clear_wake(job)
    end
    advance(job, 'wake', {})
  elseif job and job.status == 'waiting_approval' then
    clear_wake(job)
    decide(job, 'expire', step(job)[4], 'nobody', 'its time is over', 'null')
  else
    redis.call('ZREM', TIMERS, member)
  end
end
local late = redis.call('ZRANGE', DEADLINES, '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1])
for _, member in ipairs(late) do
  local job = find(split(member))
  if job and ON_THE_CLOCK[job.status] then time_out(job) else redis.call('ZREM', DEADLINES, member) end
end
return #due + #late
