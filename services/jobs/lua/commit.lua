-- A step passed. ARGV: tenant, id, epoch, step, result, '1' when the worker goes on with the job, what it cost
-- Returns {'go', next step, its attempts}, {'stop', status} or {'lost'}.
local job, epoch, index = find(ARGV[1], ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not holds(job, epoch) then return {'lost'} end
if job.cursor > index and get_step(job, 'status', index) == 'passed' then
  -- The same call again: its answer got lost.
  return {'go', job.cursor, tonumber(get_step(job, 'attempts'))}
end
if job.cursor ~= index then return {'lost'} end
if ARGV[7] ~= '0' then redis.call('HINCRBYFLOAT', job.key, 'cost', ARGV[7]) end
close(job, 'passed', ARGV[5], {})
if advance(job, 'commit', {}, ARGV[6] == '1') then return {'go', job.cursor, begin(job)} end
return {'stop', job.status}
