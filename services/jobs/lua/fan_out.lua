-- The children of a `map` step. ARGV: tenant, id, epoch, step, how many at once, '1' when some may fail, then of each
--   child what `start_job` takes (a JSON list), its id left open
-- Returns 'done', or 'lost' also when the same call was made before: its worker is done with the job either way.
local job, epoch, index = find(ARGV[1], ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not holds(job, epoch) or job.cursor ~= index then return 'lost' end
local ended, live = 0, 0
redis.call('DEL', key_of(job, 'pending'))
for item = 0, #ARGV - 7 do
  local child = find(job.tenant, child_id(job, item))
  if child and child.status == 'succeeded' then
    ended = ended + 1
  elseif child and not FINAL[child.status] then
    live = live + 1
  else
    redis.call('RPUSH', key_of(job, 'pending'), item .. ':' .. ARGV[item + 7])
  end
end
set_step(job, {'total', #ARGV - 6, 'ended', ended, 'failed', 0, 'live', live,
  'parallel', ARGV[5], 'partial', ARGV[6]})
move(job, 'fan_out', job.status == 'pausing' and 'paused' or 'scheduled', {})
rejoin(job)
return 'done'
