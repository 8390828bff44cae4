-- What a job does next, and what becomes of it when its worker, its time or its caller leaves it.
local rejoin

-- Steps that somebody skipped before it was their turn.
local function pass_over(job)
  while step(job) and get_step(job, 'status') == 'skipped' do
    job.cursor = job.cursor + 1
  end
end

local function wait_for_human(job, action, data)
  local reached = get_step(job, 'status') == 'in_progress'
  local expires = step(job)[3]
  if not reached then
    begin(job)
    if expires > 0 then set_wake(job, now + expires) end
  else
    local left = get_step(job, 'left')
    if left then set_wake(job, now + tonumber(left)) end
    clear_step(job, 'left')
  end
  move(job, action, 'waiting_approval', data)
  if not reached then emit_step(job, 'breakpoint.hit', 'waiting_approval', {}) end
end

-- What the job does now that its cursor stands where it stands. Returns true when the worker that holds it (`keep`)
-- shall run the step at the cursor.
local function advance(job, action, data, keep)
  pass_over(job)
  local next_step = step(job)
  if not next_step then
    move(job, action, 'succeeded', data)
  elseif job.status == 'pausing' or (job.status == 'paused' and action ~= 'resume') then
    move(job, action, 'paused', data)
  elseif get_step(job, 'status') == 'unknown_outcome' then
    move(job, action, 'waiting_approval', data)
  elseif job.wake_at then
    move(job, action, 'scheduled', data)
  elseif next_step[1] == BREAKPOINT then
    wait_for_human(job, action, data)
  elseif next_step[1] == WAIT then
    begin(job)
    set_wake(job, now + next_step[3])
    move(job, action, 'scheduled', data)
  elseif next_step[1] == MAP and get_step(job, 'status') == 'in_progress' then
    move(job, action, 'scheduled', data)
    rejoin(job)
  elseif keep then
    move(job, action, 'running', data)
    return true
  else
    move(job, action, 'queued', data)
  end
  return false
end

-- The worker is gone (`lose`) or goes (`release`) in the middle of a step.
local function give_up(job, action, reason)
  local data, once, losses = {reason = reason}, step(job)[1] == ONCE, 0
  if action == 'lose' then losses = redis.call('HINCRBY', job.key, 'losses', 1) end
  if once then doubt(job, reason) else set_step(job, {'status', 'pending'}) end
  if losses >= MAX_LOSSES and not once then
    fail_step(job, reason, {})
    fail_job(job, action, reason .. ', ' .. losses .. ' times in the same step', data)
  elseif job.status == 'pausing' then
    move(job, action, 'paused', data)
  elseif once then
    move(job, action, 'waiting_approval', data)
  else
    move(job, action, 'queued', data)
  end
end

local function each_live(job, act)
  for _, id in ipairs(redis.call('SMEMBERS', key_of(job, 'live'))) do
    local child = find(job.tenant, id)
    if child then act(child) end
  end
end

-- What is under way is not waited for: its worker learns it with the next heartbeat, and what it reports is refused.
local function abandon(job, reason, doubtful)
  if HELD[job.status] and doubtful then
    doubt(job, reason)
  elseif get_step(job, 'status') == 'in_progress' then
    set_step(job, {'status', 'pending'})
  end
end

local function cancel_job(job, data)
  if FINAL[job.status] then return end
  abandon(job, 'cancelled while it was under way', true)
  move(job, 'cancel', 'cancelled', {by = data.by, reason = data.reason})
  redis.call('DEL', key_of(job, 'pending'))
  each_live(job, function(child) cancel_job(child, data) end)
end

local function time_out(job)
  local reason = 'was not done by its deadline'
  abandon(job, reason, step(job)[1] == ONCE)
  fail_job(job, 'time_out', reason, {reason = reason})
  redis.call('DEL', key_of(job, 'pending'))
  each_live(job, function(child) cancel_job(child, {reason = 'the deadline of ' .. job.id .. ' has passed'}) end)
end

local function pause_job(job, data)
  if job.status == 'waiting_approval' and job.wake_at then
    set_step(job, {'left', math.max(0, job.wake_at - now)})
    clear_wake(job)
  end
  move(job, 'pause', job.status == 'running' and 'pausing' or 'paused', {by = data.by})
  each_live(job, function(child)
    if allowed('pause', child.status) then pause_job(child, data) end
  end)
end

local function resume_job(job, data)
  if job.status == 'pausing' then
    move(job, 'resume', 'running', {by = data.by})
  else
    advance(job, 'resume', {by = data.by})
  end
  each_live(job, function(child)
    if allowed('resume', child.status) then resume_job(child, data) end
  end)
end

-- The step at the cursor, and with `from` everything since that one, as if it had never begun.
local function retry_job(job, data, from)
  local anew = from and from < job.cursor
  for index = from or job.cursor, math.min(job.cursor, #job.plan - 1) do
    if anew then redis.call('HINCRBY', job.steps, index .. ':redo', 1) end
    for _, field in ipairs(OF_A_RUN) do redis.call('HDEL', job.steps, index .. ':' .. field) end
  end
  job.cursor = from or job.cursor
  clear_wake(job)
  redis.call('DEL', key_of(job, 'pending'))
  redis.call('HSET', job.key, 'losses', 0)
  redis.call('HDEL', job.key, 'error')
  if FINAL[job.status] then
    redis.call('HINCRBY', job.key, 'retries', 1)
    local whole = redis.call('HGET', job.key, 'deadline_ms')
    if whole then
      job.time_left = tonumber(whole)
      redis.call('HSET', job.key, 'time_left', whole)
    end
  end
  advance(job, 'retry', data)
end

-- A human's decision, or the one that an expiry makes (`action` expire), on the step at the cursor.
local function decide(job, action, decision, by, comment, result)
  local data = {by = by, comment = comment}
  set_step(job, {'verdict', cjson.encode({decision = decision, by = by, comment = comment, at = now})})
  if step(job)[1] == BREAKPOINT and get_step(job, 'status') == 'in_progress' then
    emit_step(job, 'breakpoint.resumed', decision, {by = by, comment = comment})
  end
  if decision == 'reject' then
    local reason = 'rejected by ' .. by .. (comment ~= '' and ': ' .. comment or '')
    fail_step(job, reason, {by = by})
    fail_job(job, action, reason, data)
  else
    close(job, decision == 'skip' and 'skipped' or 'passed', result, {by = by, comment = comment})
    advance(job, action, data)
  end
end
