-- What surrounds every call: its time, and at its end the events.
local function register(name, call)
  redis.register_function(NAME .. '_' .. name, function(_, arguments)
    local time = redis.call('TIME')
    now, said = time[1] * 1000 + math.floor(time[2] / 1000), {}
    local answer = call(arguments)
    tell()
    return answer
  end)
end
