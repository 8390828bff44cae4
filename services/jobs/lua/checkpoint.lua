-- A step says how far it is. ARGV: tenant, id, epoch, step, state (JSON) or '', progress or '', note
-- Returns 'go', 'stop' (the job is paused now and the step will begin again) or 'lost'.
local job, epoch, index = find(ARGV[1], ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not holds(job, epoch) or job.cursor ~= index then return 'lost' end
if ARGV[5] ~= '' then set_step(job, {'state', ARGV[5]}) end
if ARGV[6] ~= '' then
  set_step(job, {'progress', ARGV[6], 'note', ARGV[7]})
  emit_step(job, 'step.progress', 'in_progress', {progress = tonumber(ARGV[6]), note = ARGV[7]})
end
if job.status ~= 'pausing' then return 'go' end
unbegin(job)
move(job, 'checkpoint', 'paused', {})
return 'stop'
