-- Starts jobs, all or none. ARGV: how many, then of each how many arguments, and those that `start_job` takes
-- Returns {what `start_job` returns, …}, {'full', scope, its name, how many may wait}, {'reused'}, {'no_parent'} or
--   {'crowded'}.
local jobs, at = {}, 2
for _ = 1, tonumber(ARGV[1]) do
  local count = tonumber(ARGV[at])
  jobs[#jobs + 1] = {unpack(ARGV, at + 1, at + count)}
  at = at + 1 + count
end

local function field(arguments, name)
  for number = 7, #arguments, 2 do
    if arguments[number] == name then return arguments[number + 1] end
  end
end

-- Jobs below this one that have not ended; when there are too many it need not know how many.
local function below(tenant, id)
  local ids = redis.call('SMEMBERS', PREFIX .. 'live:' .. tenant .. ':' .. id)
  local found = #ids
  for _, each in ipairs(ids) do
    if found > MOST_CHILDREN then break end
    found = found + below(tenant, each)
  end
  return found
end

-- What reaches a job reaches all below it in one step, which must stay a short one.
local families = {}
local function crowded(top)
  for _ = 1, MOST_GENERATIONS do
    local above = top.parent and find(top.tenant, top.parent)
    if not above then
      families[top.member] = families[top.member] or below(top.tenant, top.id)
      return families[top.member] + #jobs > MOST_CHILDREN
    end
    top = above
  end
  return true
end

local more = {}
for _, each in ipairs(jobs) do
  local tenant, owner, idempotency = each[1], each[2], each[4]
  local promise = PREFIX .. 'idem:' .. tenant .. ':' .. owner .. ':' .. idempotency
  local known = idempotency ~= '' and redis.call('HGET', promise, 'fingerprint')
  if known and known ~= each[5] then return {'reused'} end
  if not known then
    local deep = too_deep(field(each, 'queue'), field(each, 'kind'), tenant, more)
    if deep then return {'full', unpack(deep)} end
    local parent = field(each, 'parent') and find(tenant, field(each, 'parent'), owner)
    if field(each, 'parent') and (not parent or FINAL[parent.status]) then return {'no_parent'} end
    if parent and crowded(parent) then return {'crowded'} end
  end
end
local answers = {}
for number, each in ipairs(jobs) do answers[number] = start_job(each) end
return answers
