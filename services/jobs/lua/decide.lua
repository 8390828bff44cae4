-- A human's decision on a step. ARGV: tenant, id, user or '', approve | reject | skip, step, by, comment
-- Returns {'done', status}, {'illegal', status}, {'missing'}, {'no_step'} or {'not_waiting'}.
local job, action, index = find(ARGV[1], ARGV[2], ARGV[3]), ARGV[4], tonumber(ARGV[5])
local by, comment = ARGV[6], ARGV[7]
if not job then return {'missing'} end
if index >= #job.plan then return {'no_step'} end
if not ALLOWED[action][job.status] then return {'illegal', job.status} end
local breakpoint = index == job.cursor and step(job)[1] == BREAKPOINT
local state = index == job.cursor and get_step(job, 'status')
local waits = state == 'unknown_outcome' or (breakpoint and state == 'in_progress')
if not waits and not (action == 'skip' and job.status == 'paused' and index == job.cursor) then
  return {'not_waiting'}
end

local data = {by = by, comment = comment}
set_step(job, {verdict = cjson.encode({decision = action, by = by, comment = comment, at = now})})
if breakpoint and waits then emit_step(job, 'breakpoint.resumed', action, {by = by, comment = comment}) end
if action == 'reject' then
  local reason = 'rejected by ' .. by .. (comment ~= '' and ': ' .. comment or '')
  set_step(job, {status = 'failed', error = reason, finished_at = now})
  emit_step(job, 'step.finished', 'failed', {by = by, error = reason})
  fail_job(job, action, reason, data)
else
  close(job, action == 'skip' and 'skipped' or 'passed', 'null', {by = by})
  advance(job, action, data)
end
return {'done', job.status}
