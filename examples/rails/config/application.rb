require_relative "boot"

require "rails"
require "action_controller/railtie"
require "action_cable/engine"
require "rails/test_unit/railtie"

Bundler.require(*Rails.groups)

module Shop
  class Application < Rails::Application
    config.load_defaults 6.1
    config.eager_load = Rails.env.production?
    config.cache_classes = Rails.env.production?
    config.consider_all_requests_local = !Rails.env.production?

    # Logs go to standard output, where the platform picks them up.
    $stdout.sync = true
    config.logger = ActiveSupport::TaggedLogging.new(ActiveSupport::Logger.new($stdout))
    config.log_level = :info

    # The proxy in front decides which host names lead here.
    config.hosts.clear

    # The echo channel knows no users, so any page may open it.
    config.action_cable.disable_request_forgery_protection = true

    config.neo4j = config_for(:neo4j)
  end
end
