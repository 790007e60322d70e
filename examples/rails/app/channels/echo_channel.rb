# Sends back what it is sent, by way of Redis, as a message between two processes
# would go.
class EchoChannel < ApplicationCable::Channel
  def subscribed
    @stream = "echo:#{SecureRandom.hex}"
    stream_from @stream
  end

  def receive(data)
    ActionCable.server.broadcast(@stream, data.except("action"))
  end
end
