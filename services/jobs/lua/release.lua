-- A worker that stops hands its job over. ARGV: tenant, id, epoch, message
local job = find(ARGV[1], ARGV[2])
if job and job.epoch == tonumber(ARGV[3]) and ALLOWED.release[job.status] then
  give_up(job, 'release', 'its worker was stopped')
end
acknowledge(ARGV[4])
return 0
